"""A bag through the node, and through evaluate.py: the same frames give the same scores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy", reason="the node needs rclpy")

from gaze_vlm_ros.cli import main

# As evaluation does: each answer by itself, of the frames that training would pick.
SINGLE = {"rate_hz": 5.0, "frame_slack": 0.0, "smoothing_s": 0.0, "switch_ratio": 1.0}


@pytest.fixture
def at_each_query(small_both_checkpoint: Path, tmp_path: Path) -> Path:
    """The checkpoint without a filter, whose windows are cut where the node queries: every 0.2 s, without jitter."""
    folder = shutil.copytree(small_both_checkpoint, tmp_path / "checkpoint")
    settings = yaml.safe_load((folder / "settings.yaml").read_text())
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings | {"moments_every_s": 0.2, "moments_jitter": 0.0}))
    metadata = json.loads((folder / "gaze_vlm.json").read_text())
    metadata["stream"]["belief"] = None
    (folder / "gaze_vlm.json").write_text(json.dumps(metadata))
    return folder


def same(one: Any, other: Any, place: str = "") -> None:
    """Compare numbers at any depth: messages carry 32 bits."""
    if isinstance(one, dict):
        for key in one:
            same(one[key], other[key], f"{place} {key}")
    elif isinstance(one, list):
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            same(a, b, f"{place} {number}")
    else:
        assert other == (one if one is None else pytest.approx(one, abs=2e-3)), place


def test_the_node_and_evaluation_agree(at_each_query: Path, held_bags: Path, tmp_path: Path) -> None:
    from training.evaluate import main as evaluate

    bag, params = held_bags / "s3", tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump({"/**": {"ros__parameters": SINGLE}}))
    arguments = ["--checkpoint", at_each_query, "--params", params, "--out", tmp_path / "replay"]
    assert main(["replay", str(bag), *map(str, arguments)]) == 0
    assert evaluate([str(at_each_query), str(bag), "--json", str(tmp_path / "scores.json")]) == 0
    played = json.loads((tmp_path / "replay" / "scores.json").read_text())
    evaluated = json.loads((tmp_path / "scores.json").read_text())
    stream = evaluated["stream_single"]["elsewhere"]
    assert played["stream"]["moments"] == stream["moments"] > 100
    same(played["stream"], stream)
    now = evaluated["now"]["elsewhere"]
    assert played["now"]["moments"] == now["moments"]
    same(played["now"], now)
    page = (tmp_path / "replay" / "replay.html").read_text()
    assert "What begins when, at all moments" in page
    assert f"{now['accuracy']:.2f} of {now['moments']} moments" in page

"""Bags with two cameras: every command of training takes the topic, and remembers it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_bags import write_small_bag

from gaze_vlm_ros.bags.errors import NoSuchTopic
from gaze_vlm_ros.bags.role_options import Roles
from gaze_vlm_ros.bags.roles import UnclearRole
from training import evaluate, export_windows, fit, report
from training.ablation.guards import bag_hashes
from training.settings import BadSettings, load_settings, settings_from

COLOUR = "/camera/image_raw/compressed"
CHOSEN = ["--camera-topic", COLOUR]


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three sessions with a colour and a depth camera."""
    folder = tmp_path_factory.mktemp("bags")
    return [str(write_small_bag(folder / f"s{seed}", seed, takes=4, depth=True)) for seed in range(3)]


def test_fit_evaluate_and_report_use_the_camera_that_the_user_names(
    bags: list[str], small_settings: list[str], tmp_path: Path
) -> None:
    run, scores = tmp_path / "run", tmp_path / "scores.json"
    arguments = [*small_settings, "--set", "steps=2", "--set", "validation=[s1]", "--out", str(run), *bags[:2]]
    with pytest.raises(UnclearRole, match="give --camera-topic"):
        fit.main(arguments)
    assert fit.main([*arguments, *CHOSEN]) == 0
    assert load_settings(run / "settings.yaml").camera_topic == COLOUR

    assert evaluate.main([str(run), bags[2], "--json", str(scores)]) == 0, "the checkpoint knows its camera"
    assert json.loads(scores.read_text())["examples"][0]["camera_topic"] == COLOUR
    with pytest.raises(NoSuchTopic, match="has no topic /other/image"):
        evaluate.main([str(run), bags[2], "--camera-topic", "/other/image"])

    assert report.main([f"real={run}:{scores}", "--out", str(tmp_path / "report.html")]) == 0


def test_export_windows_takes_the_camera(bags: list[str], tmp_path: Path) -> None:
    arguments = ["--set", "frames=2", "--set", "gaze_flow=false", "--set", "validation=[s1]", *bags[:2]]
    with pytest.raises(UnclearRole, match="give --camera-topic"):
        export_windows.main([*arguments, "--out", str(tmp_path / "none")])
    assert export_windows.main([*arguments, *CHOSEN, "--out", str(tmp_path / "out")]) == 0
    assert load_settings(tmp_path / "out" / "settings.yaml").camera_topic == COLOUR


def test_an_ablation_tells_bags_apart_by_the_camera_that_it_uses(bags: list[str]) -> None:
    paths = [Path(bag) for bag in bags]
    with pytest.raises(UnclearRole):
        bag_hashes(paths[:2], paths[2:], 1, Roles())
    colour, depth = (bag_hashes(paths[:2], paths[2:3], 1, Roles(topic)) for topic in (COLOUR, "/depth/image_raw"))
    assert colour["train"] != depth["train"]


def test_settings_refuse_other_coordinates() -> None:
    with pytest.raises(BadSettings, match=r"gaze_coordinates is 'px', expected one of px_top_left, .*normalized_bot"):
        settings_from({"gaze_coordinates": "px"}, "test")

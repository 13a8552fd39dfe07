"""Distillation: the teacher's answers as targets for tokens, and teachers that cannot teach."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from gaze_vlm_ros.prediction.checkpoint import read_checkpoint_metadata
from training import fit
from training.model.distillation import next_tokens, teacher_divergence
from training.run.teacher import UnfitTeacher, read_teacher
from training.settings import BadSettings, Settings, load_settings

ANSWERS = [[1, 2, 9], [1, 3, 9], [1, 3, 4, 9]]


def test_a_token_has_the_share_of_all_answers_that_begin_with_it() -> None:
    shares = np.array([[0.5, 0.2, 0.3], [0, 0, 0]], np.float32)
    taught = next_tokens(shares, np.array([1, 0]), ANSWERS)
    assert taught.tokens.tolist() == [1, 2, 3, 4, 9]
    np.testing.assert_allclose(taught.shares[0], [[1, 0, 0, 0, 0], [0, 0.5, 0.5, 0, 0], [0, 0, 0, 0.6, 0.4]], atol=1e-6)
    assert not taught.shares[1].any()


def test_the_divergence_is_that_of_the_taught_windows_only() -> None:
    taught = next_tokens(np.array([[0.5, 0.2, 0.3], [0, 0, 0]], np.float32), np.array([1, 0]), ANSWERS)
    logits = torch.randn(2, 3, 12, generator=torch.Generator().manual_seed(0), requires_grad=True)
    said = logits[0].log_softmax(-1).double()
    by_hand = [
        -said[0, 1],
        0.5 * (np.log(0.5) - said[1, 2]) + 0.5 * (np.log(0.5) - said[1, 3]),
        0.6 * (np.log(0.6) - said[2, 4]) + 0.4 * (np.log(0.4) - said[2, 9]),
    ]
    loss = teacher_divergence(logits, taught)
    assert loss.item() == pytest.approx(float(sum(by_hand).detach()) / 3, abs=1e-5)
    loss.backward()
    assert logits.grad[0].abs().max() > 0
    assert not logits.grad[1].any()


def test_a_student_learns_from_its_teacher_and_is_never_tested_on_what_that_has_seen(
    small_checkpoint: Path, small_bags: Path, small_settings: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "student"
    own = ["steps=6", "check_every=3", "gaze_as=distilled", f"teacher={small_checkpoint}", "kl_schedule=constant"]
    arguments = [*small_settings, *(argument for value in own for argument in ("--set", value))]
    # It trains on fewer sessions than its teacher did.
    assert fit.main([*arguments, "--out", str(out), str(small_bags / "s0"), str(small_bags / "s2")]) == 0
    metadata, teacher = read_checkpoint_metadata(out), read_checkpoint_metadata(small_checkpoint)
    assert set(metadata.trained_on) == set(teacher.trained_on)
    assert metadata.gaze_use == f"training only, distilled from {small_checkpoint}, KL weight 1"
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 6
    assert all(row["kl"] > 0 and row["kl_weight"] == 1 for row in rows)


def test_a_teacher_that_cannot_teach_is_refused_by_name(small_checkpoint: Path, tmp_path: Path) -> None:
    labels = read_checkpoint_metadata(small_checkpoint).labels
    own = load_settings(small_checkpoint / "settings.yaml")

    def settings(**changed: object) -> Settings:
        from dataclasses import replace

        return replace(own, **{"gaze_as": "distilled", "teacher": str(small_checkpoint), **changed})

    read_teacher(settings(), labels)
    with pytest.raises(UnfitTeacher, match=r"answers \[.*red disc.*and this fit has \['pour'\]"):
        read_teacher(settings(), ["pour"])
    with pytest.raises(UnfitTeacher, match="knows other windows: frames is 2, here 3"):
        read_teacher(settings(frames=3), labels)
    blind = shutil.copytree(small_checkpoint, tmp_path / "blind")
    metadata = json.loads((blind / "gaze_vlm.json").read_text())
    (blind / "gaze_vlm.json").write_text(json.dumps(metadata | {"gaze_use": "none"}))
    with pytest.raises(UnfitTeacher, match=r"the teacher .*blind saw no gaze"):
        read_teacher(settings(teacher=str(blind)), labels)
    for changed in ({"teacher": ""}, {"gaze_as": "attention"}):
        with pytest.raises(BadSettings, match="set both or none"):
            settings(**changed)

"""A checkpoint of both questions, from its fit to its scores, and one of the present only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gaze_vlm_ros.prediction.checkpoint import read_checkpoint_metadata


def evaluated(checkpoint: Path, bag: Path, out: Path) -> dict[str, Any]:
    from training.evaluate import main

    assert main([str(checkpoint), str(bag), "--json", str(out)]) == 0
    return json.loads(out.read_text())


def test_the_checkpoint_holds_both_questions(small_both_checkpoint: Path) -> None:
    metadata = read_checkpoint_metadata(small_both_checkpoint)
    assert metadata.task == "future"
    assert metadata.stream is not None
    assert metadata.now is not None
    assert metadata.now == metadata.second_question
    assert (metadata.now.question, metadata.now.nothing_words) == ("What is the person doing now?", "nothing")
    assert metadata.now.temperature > 0
    assert metadata.now.calibrated_on > 50
    log = [json.loads(line) for line in (small_both_checkpoint / "metrics.jsonl").read_text().splitlines()]
    checked = [row for row in log if "validation_lm_now" in row]
    assert checked[-1]["validation_lm"] == pytest.approx(
        checked[-1]["validation_lm_next"] + checked[-1]["validation_lm_now"]
    )


def test_both_are_scored_at_all_moments(
    small_both_checkpoint: Path, held_bags: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = evaluated(small_both_checkpoint, held_bags / "s3", tmp_path / "scores.json")
    now = scores["now"]["elsewhere"]
    assert now["moments"] > 90
    assert 0.4 < now["nothing_share"] < 0.6  # 1.5 of 3 s
    assert now["accuracy"] > now["most_frequent"] + 0.1
    assert now["mean_average_precision"] > 0.5
    assert scores["stream"]["elsewhere"]["moments"] >= now["moments"]
    assert "mAP" in capsys.readouterr().out


def test_the_robot_answers_both_as_evaluation_does(small_both_checkpoint: Path, held_bags: Path) -> None:
    from gaze_vlm_ros.labels.label_set import LabelSet
    from gaze_vlm_ros.prediction.backends.factory import open_backend
    from gaze_vlm_ros.prediction.types import Observation
    from gaze_vlm_ros.session.session import load_session
    from gaze_vlm_ros.vlm.loading import load_vlm
    from training.data.preparation import prepare
    from training.data.recordings import load_recording
    from training.evaluation.now_evaluation import now_stream
    from training.evaluation.stream_evaluation import believed_stream, rank_stream
    from training.settings import load_settings

    backend = open_backend(small_both_checkpoint)
    metadata, settings = backend.metadata, load_settings(small_both_checkpoint / "settings.yaml")
    assert metadata.now is not None
    labels = LabelSet(metadata.labels, metadata.verbs, metadata.object_classes)
    model, processor = load_vlm(small_both_checkpoint)
    recording = load_recording(held_bags / "s3", settings)
    data = prepare([recording], labels, settings, model, processor, gaze_needed=False)
    rows = np.flatnonzero(data.now.answer_index >= 0)[:16]
    data = data.only(rows)
    believed = believed_stream(
        data, np.arange(16), rank_stream(model, data, np.arange(16), "cpu", 8), metadata.temperature
    )
    now = now_stream(model, data.now, metadata.now, settings, "cpu")
    frames = load_session(held_bags / "s3").frames
    for row, window in enumerate(data.windows):
        pictures = [frames.rgb(index) for index in window.frames]
        answer = backend.predict(Observation(pictures, tuple(frames.stamps_ns[list(window.frames)].tolist())))
        np.testing.assert_allclose(answer.table, believed.table[row], atol=1e-4)
        np.testing.assert_allclose(answer.now.probabilities, now.table[row], atol=1e-4)
        assert answer.now.nothing_probability == pytest.approx(now.nothing[row], abs=1e-4)
    assert "now" in answer.stages
    opened = open_backend(small_both_checkpoint, answers="open")
    said = opened.predict(Observation(pictures, tuple(frames.stamps_ns[list(window.frames)].tolist()))).now
    assert said.probabilities.sum() + said.nothing_probability + said.other_probability == pytest.approx(1.0)


def test_the_present_only(held_bags: Path, small_settings: list[str], tmp_path: Path) -> None:
    from gaze_vlm_ros.prediction.backends.factory import open_backend
    from gaze_vlm_ros.prediction.types import Observation
    from gaze_vlm_ros.session.session import load_session
    from training.fit import main

    # The small world's gaze is on what is next, which hardly helps to see what goes on
    own = ["moments_every_s=0.3", "leads_s=[]", "tasks=[now]", "gaze=none"]
    settings = [*small_settings, *(argument for value in own for argument in ("--set", value))]
    bags = [str(held_bags / f"s{seed}") for seed in range(3)]
    assert main([*settings, "--out", str(tmp_path / "run"), "--cache", str(tmp_path / "cache"), *bags]) == 0
    metadata = read_checkpoint_metadata(tmp_path / "run")
    assert (metadata.task, metadata.stream, metadata.second_question) == ("current", None, None)
    assert metadata.question == "What is the person doing now?"
    assert metadata.answers == (*metadata.labels, "nothing")
    assert metadata.other_share is None
    scores = evaluated(tmp_path / "run", held_bags / "s3", tmp_path / "scores.json")
    assert scores["now"]["elsewhere"]["accuracy"] > scores["now"]["elsewhere"]["most_frequent"]
    assert scores["groups"]["elsewhere"]["windows"] < scores["now"]["elsewhere"]["moments"]  # those with an action
    backend, frames = open_backend(tmp_path / "run"), load_session(held_bags / "s3").frames
    answer = backend.predict(Observation([frames.rgb(5), frames.rgb(9)], tuple(frames.stamps_ns[[5, 9]].tolist())))
    assert answer.texts == metadata.labels
    assert answer.probabilities.sum() + answer.nothing_probability == pytest.approx(1.0)

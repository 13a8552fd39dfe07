"""A checkpoint of the stream, from its fit to its scores, on small bags."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gaze_vlm_ros.prediction.checkpoint import read_checkpoint_metadata
from training.evaluation.stream_evaluation import of_actions


@pytest.fixture(scope="module")
def scores(small_stream_checkpoint: Path, small_bags: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    from training.evaluate import main

    path = tmp_path_factory.mktemp("scores") / "scores.json"
    assert main([str(small_stream_checkpoint), str(small_bags / "s3"), "--json", str(path)]) == 0
    return json.loads(path.read_text())


def test_the_checkpoint_holds_words_filter_and_operating_points(small_stream_checkpoint: Path) -> None:
    stream = read_checkpoint_metadata(small_stream_checkpoint).stream
    assert stream is not None
    assert (stream.when_words, stream.nothing_words) == (("soon", "later"), "nothing yet")
    assert set(stream.calibration_losses) == {"single", "over_time"}
    assert (stream.belief is not None) == (stream.calibration_losses["over_time"] < stream.calibration_losses["single"])
    assert [point.target_precision for point in stream.operating_points] == [0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
    assert not any(point.is_certified for point in stream.operating_points)  # of a single session


def test_scores_of_all_moments_and_of_windows_before_actions(scores: dict[str, Any]) -> None:
    assert set(scores["groups"]) == set(scores["stream"]) == {"elsewhere"}
    stream = scores["stream"]["elsewhere"]
    assert stream["moments"] > 100
    assert stream["actions"] == 12  # all that begin; the first observation ends before the first
    assert 0.5 < stream["due_share"] < 0.8  # an action every 3 s, a horizon of 2 s
    # How often each answer is right gives 1.56 nats: nothing in a third of all moments, and four that are equal.
    assert stream["negative_log_likelihood"] < 1.56
    assert stream["average_precision"] > 0.5
    assert {"at_precision_0.9", "own_at_precision_0.9", "own_at_precision_0.9_late"} <= set(stream)
    assert scores["stream_single"]["elsewhere"]["moments"] == stream["moments"]
    (timeline,) = scores["timelines"]
    assert (timeline["session"], len(timeline["begun"])) == ("s3", 12)
    assert len(timeline["at_s"]) == len(timeline["said"]) == stream["moments"]


def test_actions_whenever_they_begin() -> None:
    """Two parts, two actions and nothing: P(action) is summed over parts, at the model's temperature."""
    from gaze_vlm_ros.labels.answer_words import AnswerWords

    likelihoods = np.log([[0.1, 0.2, 0.3, 0.1, 0.3]])
    found = of_actions(likelihoods, AnswerWords(("soon", "later"), "nothing"), 2.0)
    expected = np.array([np.sqrt(0.1) + np.sqrt(0.3), np.sqrt(0.2) + np.sqrt(0.1)])
    assert np.exp(found[0] / 2.0) == pytest.approx(expected)


def test_the_robot_answers_each_window_as_evaluation_does(small_stream_checkpoint: Path, small_bags: Path) -> None:
    from gaze_vlm_ros.labels.label_set import LabelSet
    from gaze_vlm_ros.prediction.backends.factory import open_backend
    from gaze_vlm_ros.prediction.types import Observation
    from gaze_vlm_ros.session.session import load_session
    from gaze_vlm_ros.vlm.loading import load_vlm
    from training.data.preparation import prepare
    from training.data.recordings import load_recording
    from training.evaluation.stream_evaluation import believed_stream, rank_stream
    from training.settings import load_settings

    backend = open_backend(small_stream_checkpoint)
    metadata, settings = backend.metadata, load_settings(small_stream_checkpoint / "settings.yaml")
    labels = LabelSet(metadata.labels, metadata.verbs, metadata.object_classes)
    model, processor = load_vlm(small_stream_checkpoint)
    data = prepare([load_recording(small_bags / "s3", settings)], labels, settings, model, processor, gaze_needed=False)
    rows = np.arange(20)
    believed = believed_stream(data, rows, rank_stream(model, data, rows, "cpu", 8), metadata.temperature)
    frames = load_session(small_bags / "s3").frames
    for row in rows:
        window = data.windows[row]
        pictures = [frames.rgb(index) for index in window.frames]
        answer = backend.predict(Observation(pictures, tuple(frames.stamps_ns[list(window.frames)].tolist())))
        np.testing.assert_allclose(answer.table, believed.table[row], atol=1e-4)
        assert answer.nothing_probability == pytest.approx(believed.nothing[row], abs=1e-4)


def test_windows_of_epic_kitchens_are_scored_by_action_whenever_it_begins(
    small_stream_checkpoint: Path, small_bags: Path, tmp_path: Path
) -> None:
    """The best action is that with the largest sum over the parts of the horizon, not that of the best answer."""
    from gaze_vlm_ros.prediction.backends.factory import open_backend
    from gaze_vlm_ros.prediction.types import Observation
    from gaze_vlm_ros.session.session import load_session
    from gaze_vlm_ros.video.frame_selection import pick_frames
    from training.evaluate import main

    out, bag = tmp_path / "scores.json", small_bags / "s3"
    arguments = [str(small_stream_checkpoint), str(bag), "--protocol", "epic-kitchens", "--json", str(out)]
    assert main(arguments) == 0
    scores = json.loads(out.read_text())
    assert scores["protocol"] == "epic-kitchens"
    assert len(scores["windows"]) == 12
    assert {window["lead_s"] for window in scores["windows"]} == {1.0}
    backend, frames = open_backend(small_stream_checkpoint), load_session(bag).frames
    for window in scores["windows"][:6]:
        shown = pick_frames(frames.stamps_ns, window["at_ns"], backend.metadata.observation_s, backend.metadata.frames)
        pictures = [frames.rgb(int(index)) for index in shown]
        table = backend.predict(Observation(pictures, tuple(frames.stamps_ns[shown].tolist()))).table
        assert table is not None
        begins = table.sum(axis=1) / table.sum()
        assert window["ranked"] == backend.metadata.labels[begins.argmax()]
        assert window["probability"] == pytest.approx(begins.max(), abs=2e-3)


def test_a_thousand_labels_at_each_part_are_ranked_as_few_are(
    small_stream_checkpoint: Path, small_bags: Path, tmp_path: Path
) -> None:
    """2001 answers: their probabilities add up to 1, and the odds of any two are those among three labels only."""
    import shutil

    from gaze_vlm_ros.labels.label_set import label_set_id
    from gaze_vlm_ros.prediction.backends.factory import open_backend
    from gaze_vlm_ros.prediction.types import Observation
    from gaze_vlm_ros.session.session import load_session

    many = [
        f"take part {number} of the {colour} box" for number in range(250) for colour in ("red", "blue", "old", "big")
    ]
    frames = load_session(small_bags / "s3").frames
    shown = [0, 5]
    observation = Observation([frames.rgb(row) for row in shown], tuple(frames.stamps_ns[shown].tolist()))

    def answer(name: str, labels: list[str]) -> Any:
        folder = tmp_path / name
        shutil.copytree(small_stream_checkpoint, folder)
        file = folder / "gaze_vlm.json"
        metadata = json.loads(file.read_text())
        metadata["stream"] |= {"belief": None, "operating_points": []}
        metadata |= {"labels": labels, "verbs": [""] * len(labels), "object_classes": [""] * len(labels)}
        metadata |= {"time_to_start_s": [], "label_set_id": label_set_id(labels)}
        file.write_text(json.dumps(metadata))
        return open_backend(folder).predict(observation)

    of_many, of_few = answer("many", many), answer("few", many[:2] + many[-1:])
    assert of_many.table.shape == (1000, 2)
    assert of_many.table.sum() + of_many.nothing_probability == pytest.approx(1.0, abs=1e-6)
    odds_of_many = of_many.table[[0, 1, -1]] / of_many.nothing_probability
    np.testing.assert_allclose(odds_of_many, of_few.table / of_few.nothing_probability, rtol=1e-3)
    assert len(np.unique(of_many.table)) == 2000

"""The message of a checkpoint of the stream: what, when, or nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="messages need rclpy")

from gaze_vlm_ros.bags.stamps import duration_s
from gaze_vlm_ros.prediction.answers_over_time import AnswersOverTime
from gaze_vlm_ros.prediction.checkpoint import CheckpointMetadata, read_checkpoint_metadata
from gaze_vlm_ros.prediction.operating_points import OperatingPoint
from gaze_vlm_ros.prediction.status import CurrentStatus, Limits, answer_status
from gaze_vlm_ros.prediction.stream_metadata import NowMetadata, StreamMetadata
from gaze_vlm_ros.prediction.types import Answer, AnsweredObservation, NowAnswer, Status

STREAM = StreamMetadata(("soon", "later"), "nothing yet")
POINT = OperatingPoint(0.9, 0.6, 0.3, 0.9, 0.5)
RELEASED = Path(__file__).resolve().parents[1] / "released" / "checkpoint"


@pytest.fixture(scope="module")
def metadata() -> CheckpointMetadata:
    old = read_checkpoint_metadata(RELEASED)
    return replace(old, labels=("a", "b", "c"), verbs=("",) * 3, object_classes=("",) * 3, horizon_s=2.0, stream=STREAM)


def message_of(metadata: CheckpointMetadata, table: np.ndarray, max_candidates: int = 5):
    from gaze_vlm_ros.nodes.prediction_message import prediction_message

    nothing = 1.0 - float(table.sum())
    smoothed = AnswersOverTime(STREAM, 2.0, POINT).update(0, table, nothing)
    answer = Answer(metadata.labels, table.sum(axis=1), "calibrated", table=table, nothing_probability=nothing)
    answered = AnsweredObservation(answer, smoothed, 0, 10**9, 0.1, bytes(16))
    current = answer_status(answered, Limits(0.6, 0.9, 2.0, 0.5), "model")
    return prediction_message(metadata, "", current, answered, 2.0, max_candidates)


def test_every_status_has_the_number_of_the_message() -> None:
    from gaze_vlm_msgs.msg import ActionPrediction
    from gaze_vlm_ros.nodes.bag_player import FINAL

    for status in Status:
        assert getattr(ActionPrediction, f"STATUS_{status.name}") == status
    assert set(FINAL) == set(Status) - {Status.STALE_INPUT}  # a replay waits for all others


def test_candidates_say_when_and_all_probabilities_sum_to_one(metadata: CheckpointMetadata) -> None:
    message = message_of(metadata, np.array([[0.1, 0.0], [0.1, 0.5], [0.05, 0.05]]), max_candidates=2)
    assert message.status == Status.OK
    best, second = message.candidates
    assert (best.text, second.text) == ("b", "a")
    assert list(best.part_probabilities) == pytest.approx([0.1, 0.5])
    times_s = [duration_s(t) for t in (best.time_to_start_early, best.time_to_start, best.time_to_start_late)]
    assert times_s == pytest.approx([0.6, 0.1 / 0.6 * 0.5 + 0.5 / 0.6 * 1.5, 1 + (0.9 - 1 / 6) / (5 / 6)])
    assert message.nothing_probability == pytest.approx(0.2)
    assert message.other_probability == pytest.approx(0.1)  # of the third action


def test_a_moment_before_nothing_has_a_status_of_its_own(metadata: CheckpointMetadata) -> None:
    message = message_of(metadata, np.array([[0.1, 0.1], [0.0, 0.05], [0.05, 0.0]]))
    assert message.status == Status.NOTHING
    assert message.status_text == "nothing begins within the horizon, with a probability of 0.70"
    assert len(message.candidates) == 3


def test_other_checkpoints_say_nothing_of_it(metadata: CheckpointMetadata) -> None:
    from gaze_vlm_ros.nodes.prediction_message import prediction_message
    from gaze_vlm_ros.prediction.smoothing import PredictionSmoother

    answer = Answer(("a", "b", "c"), np.array([0.5, 0.2, 0.1]), "calibrated", other_probability=0.2)
    smoothed = PredictionSmoother().update(0, answer.probabilities, 0.2)
    answered = AnsweredObservation(answer, smoothed, 0, 10**9, 0.1, bytes(16))
    message = prediction_message(metadata, "", CurrentStatus(Status.OK, "", 10**9), answered, 2.0, 5)
    assert math.isnan(message.nothing_probability)
    assert duration_s(message.candidates[0].time_to_start_early) < 0
    assert len(message.candidates[0].part_probabilities) == 0


@pytest.mark.parametrize(("nothing", "action"), [(0.1, "b"), (0.5, "")])
def test_what_goes_on_now_stands_beside_what_is_next(metadata: CheckpointMetadata, nothing: float, action: str) -> None:
    from gaze_vlm_ros.nodes.prediction_message import prediction_message
    from gaze_vlm_ros.prediction.smoothing import PredictionSmoother

    shares = np.array([0.3, 0.5, 0.2]) * (1 - nothing)
    table = np.full((3, 2), 0.1)
    smoothed = AnswersOverTime(STREAM, 2.0, POINT).update(0, table, 0.4)
    answer = Answer(
        metadata.labels, table.sum(axis=1), "calibrated", table=table, nothing_probability=0.4,
        now=NowAnswer(metadata.labels, shares, nothing),
    )  # fmt: skip
    now = PredictionSmoother().update(0, np.append(shares, nothing), None, (*metadata.labels, ""))
    answered = AnsweredObservation(answer, smoothed, 0, 10**9, 0.1, bytes(16), now)
    both = replace(metadata, now=NowMetadata("now?", "nothing"))
    message = prediction_message(both, "", CurrentStatus(Status.ABSTAIN, "", 10**9), answered, 2.0, 2)
    assert message.current_action == action
    assert [candidate.text for candidate in message.current_candidates] == ["b", "a"]
    assert message.current_candidates[0].probability == pytest.approx(shares[1])
    assert message.current_nothing_probability == pytest.approx(nothing)
    assert message.current_probability == pytest.approx(shares[1] if action else math.nan, nan_ok=True)
    assert message.nothing_probability == pytest.approx(0.4)
    stale = prediction_message(both, "", CurrentStatus(Status.STALE_INPUT, "", 10**9), answered, 2.0, 2)
    assert (stale.current_action, len(stale.current_candidates)) == ("", 0)
    assert math.isnan(stale.current_nothing_probability)


def test_a_checkpoint_of_the_present_names_it_with_its_probability(metadata: CheckpointMetadata) -> None:
    from gaze_vlm_ros.nodes.prediction_message import prediction_message
    from gaze_vlm_ros.prediction.smoothing import PredictionSmoother

    present = replace(metadata, task="current", stream=None)
    probabilities = np.array([0.5, 0.2, 0.1])
    for nothing, status in ((0.2, Status.OK), (0.6, Status.NOTHING)):
        answer = Answer(metadata.labels, probabilities * (1 - nothing) / 0.8, "calibrated", nothing_probability=nothing)
        smoothed = PredictionSmoother().update(0, answer.probabilities, nothing)
        answered = AnsweredObservation(answer, smoothed, 0, 10**9, 0.1, bytes(16))
        current = answer_status(answered, Limits(0.0, 0.0, 2.0, 0.5, "current"), "model")
        message = prediction_message(present, "", current, answered, 2.0, 5)
        assert message.status == status
        assert message.current_nothing_probability == pytest.approx(nothing)
        assert (message.current_action == "a") == (status == Status.OK)
    assert message.status_text == "no action goes on, with a probability of 0.60"

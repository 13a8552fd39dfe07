"""Pairing of predictions with what then happened."""

import math

import pytest

from gaze_vlm_ros.demo.live_score import ReceivedPrediction, StartedAction, outcome_of, summarize

MUG = StartedAction(start_ns=10_000_000_000, text="take the red mug")


def prediction(stamp_s: float, received_s: float, valid_until_s: float, answer: str, status: int = 0):
    return ReceivedPrediction(int(stamp_s * 1e9), int(received_s * 1e9), int(valid_until_s * 1e9), status, answer, 0.9)


def test_the_newest_prediction_that_arrived_in_time_counts() -> None:
    predictions = [
        prediction(9.0, 9.1, 11.0, "take the red mug"),
        prediction(9.5, 9.6, 11.5, "take the blue box"),
        prediction(9.9, 10.1, 11.9, "take the red mug"),  # arrived after the action began
    ]
    outcome = outcome_of(MUG, predictions)
    assert outcome.prediction is predictions[1]
    assert not outcome.correct
    assert outcome.lead_s == pytest.approx(0.4)


def test_an_expired_or_empty_prediction_does_not_count() -> None:
    outcome = outcome_of(MUG, [prediction(8.0, 8.1, 9.9, "take the red mug"), prediction(9.0, 9.1, 11.0, "", 2)])
    assert outcome.prediction is None
    assert not outcome.correct
    assert math.isnan(outcome.lead_s)


def test_a_prediction_that_abstains_is_not_acted_on() -> None:
    assert outcome_of(MUG, [prediction(9.5, 9.6, 11.5, "take the red mug", status=1)]).prediction is None


def test_summary_counts_an_unpredicted_action_as_wrong() -> None:
    predictions = [
        prediction(9.0, 9.1, 11.0, "take the red mug"),
        prediction(9.5, 9.8, 11.5, "take the red mug", status=1),
        prediction(9.5, 10.4, 11.5, "take the red mug", status=1),  # the same answer again: no latency
        prediction(0.0, 11.0, 0.0, "", status=2),
    ]
    later = StartedAction(20_000_000_000, "take the blue box")
    summary = summarize(predictions, [MUG, later], ("OK", "ABSTAIN", "STALE_INPUT"))
    assert summary["accuracy"] == 0.5
    assert summary["actions_with_valid_prediction"] == 1
    assert summary["status_counts"] == {"OK": 1, "ABSTAIN": 2, "STALE_INPUT": 1}
    assert summary["latency_ms"]["p50"] == pytest.approx(200.0)
    assert summary["predictions"] == 4
    assert summary["answered_frames"] == 2


def test_summary_of_nothing_has_no_figures() -> None:
    summary = summarize([], [], ("OK",))
    assert summary["accuracy"] is None
    assert summary["latency_ms"] == {"p50": None, "p95": None}

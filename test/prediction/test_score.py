"""Predictions beside what then happened, by numbers that were worked out by hand."""

import math

import pytest

from gaze_vlm_ros.prediction.score import (
    ReceivedPrediction,
    StartedAction,
    anticipations,
    next_texts,
    outcome_of,
    score,
    summarize,
)

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


OK, ABSTAIN, NO_INPUT = 0, 1, 3
ACTIONS = [StartedAction(4_500_000_000, "mug"), StartedAction(8_500_000_000, "box")]
# One message a second, from 0 s on: status, answer, probability.
SAID = [
    (NO_INPUT, "", 0.0), (OK, "box", 0.6), (OK, "mug", 0.8), (OK, "mug", 0.9), (OK, "mug", 0.9),
    (ABSTAIN, "box", 0.4), (OK, "mug", 0.6), (OK, "box", 0.7), (OK, "box", 0.8), (OK, "box", 0.5),
]  # fmt: skip


def messages(said: list[tuple[int, str, float]], valid_s: float = 2.0) -> list[ReceivedPrediction]:
    return [
        ReceivedPrediction(t * 10**9, round((t + 0.1) * 1e9), round((t + valid_s) * 1e9), *each)
        for t, each in enumerate(said)
    ]


def test_an_action_that_has_begun_is_not_anticipated() -> None:
    stamps_ns = [4_499_999_999, 4_500_000_000, 8_500_000_000]
    assert next_texts(stamps_ns, ACTIONS, 5.0) == ["mug", "box", ""]
    assert next_texts([2_500_000_000, 2_499_999_999], ACTIONS, 2.0) == ["mug", ""]


def test_recall_of_each_horizon_by_hand() -> None:
    half, _, two, five = score(messages(SAID), ACTIONS, 2.0, 9 * 10**9)["horizons"]
    assert (half["moments"], half["recall"]) == (2, 1.0)  # those at 4 and 8 s
    assert (two["moments"], two["recall"]) == (4, 1.0)
    # mug is next at 0 to 4 s, and said at 2, 3, 4; box is next at 5 to 8 s, and said, without abstaining, at 7 and 8.
    assert (five["moments"], five["recall"]) == (9, pytest.approx(5 / 9))
    assert five["class_mean_recall"] == pytest.approx((3 / 5 + 2 / 4) / 2)
    assert five["most_frequent"] == pytest.approx(5 / 9)
    # mug was right from 2 s on, 2.5 s before; box from 7 s on, 1.5 s before, and next since 4.5 s.
    assert (two["actions"], two["anticipated"]) == (2, 0.5)
    assert (five["actions"], five["anticipated"]) == (0, None)


def test_the_right_answer_must_come_and_stay() -> None:
    def times(said: list[tuple[int, str, float]], valid_s: float = 2.0) -> list[float]:
        return [each.time_s for each in anticipations(messages(said, valid_s), ACTIONS)]

    assert times(SAID) == [2.5, 1.5]
    assert [each.at_most_s for each in anticipations(messages(SAID), ACTIONS)] == [4.5, 4.0]
    assert times(SAID, valid_s=0.5) == [0.5, 0.5]  # each expires before the next is there
    assert times(SAID, valid_s=0.4) == [0.0, 0.0]
    assert times([*SAID[:4], (ABSTAIN, "mug", 0.1), *SAID[5:]]) == [0.0, 1.5]
    assert times([(OK, "box", 0.9)] * 10) == [0.0, 3.5]  # before 4.5 s the mug was next, and box wrong
    assert times([*SAID[:8], (OK, "mug", 0.9)]) == [2.5, 0.0]  # right, and then no more


def test_an_ok_answer_is_right_if_its_action_begins_within_the_horizon() -> None:
    """Actions at 1 to 8 s count; the one at 9 s says something about times which nobody recorded."""
    figures = score(messages(SAID), ACTIONS, 2.0, 9 * 10**9)
    assert figures["precision"] == {
        "value": pytest.approx(4 / 7), "answers": 7, "nothing_began": 3, "coverage": pytest.approx(7 / 8), "unknown": 1,
    }  # fmt: skip
    assert score(messages(SAID), ACTIONS, 2.0, 11 * 10**9)["precision"]["unknown"] == 0
    curve = figures["selective_curve"]
    assert curve["threshold"] == [0.9, 0.8, 0.7, 0.6, 0.4]
    assert curve["coverage"] == pytest.approx([2 / 8, 4 / 8, 5 / 8, 7 / 8, 1])
    assert curve["precision"] == pytest.approx([1, 3 / 4, 4 / 5, 4 / 7, 1 / 2])


def test_calibration_counts_what_was_abstained_from_too() -> None:
    calibration = score(messages(SAID), ACTIONS, 2.0, 9 * 10**9)["calibration"]
    assert calibration["count"] == [0, 0, 0, 0, 1, 0, 2, 1, 2, 2]
    assert calibration["error"] == pytest.approx((0.4 + 2 * 0.6 + 0.3 + 2 * 0.3 + 2 * 0.1) / 8)


def test_flips_and_the_age_of_the_evidence() -> None:
    figures = score(messages(SAID), ACTIONS, 2.0, 9 * 10**9)
    assert figures["flips_per_minute"] == pytest.approx(2 / (9 / 60))  # box, mug, box; abstaining is no answer
    assert figures["actions_per_minute"] == pytest.approx(2 / (9 / 60))
    assert figures["evidence_age_s"] == pytest.approx({"p50": 0.1, "p95": 0.1, "p99": 0.1})


def test_a_run_without_answers_has_no_figures() -> None:
    figures = score(messages([(NO_INPUT, "", 0.0)] * 3), [], 2.0, 2 * 10**9)
    assert figures["precision"]["value"] is figures["calibration"]["error"] is figures["anticipation"]["share"] is None
    assert [each["recall"] for each in figures["horizons"]] == [None] * 4

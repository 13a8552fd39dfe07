"""Which status and text a prediction has, case by case, and when the next message is due."""

import math

import numpy as np
import pytest

from gaze_vlm_ros.prediction.smoothing import Smoothed
from gaze_vlm_ros.prediction.status import (
    CurrentStatus,
    Limits,
    PredictorState,
    PublicationLog,
    current_status,
    size_warning,
    valid_for_s,
)
from gaze_vlm_ros.prediction.types import Answer, AnsweredObservation, Problem, Status

S = 1_000_000_000
NOW_NS = 100 * S
LIMITS = Limits(threshold=0.5, target_precision=0.0, valid_s=2.0, stale_after_s=0.5)


def answered(probability: float = 0.8, age_s: float = 0.1) -> AnsweredObservation:
    probabilities = np.array([1 - probability, probability])
    smoothed = Smoothed(probabilities, None, 1, False, True)
    stamp_ns = NOW_NS - round(age_s * S)
    answer = Answer(("take the jar", "go"), probabilities, "calibrated")
    return AnsweredObservation(answer, smoothed, stamp_ns - 3 * S, stamp_ns, 0.05, bytes(16))


def status(
    newest_ns: int | None = NOW_NS,
    silence_s: float = 0.0,
    problem: Problem | None = None,
    answer: AnsweredObservation | None = None,
    limits: Limits = LIMITS,
) -> CurrentStatus:
    state = PredictorState(NOW_NS, newest_ns, silence_s, problem, answer)
    return current_status(state, limits, "/camera", "bench@12345678")


DAMAGED = Problem(Status.ERROR, "does not decode", NOW_NS - S)


def test_before_the_first_frame_there_is_no_input() -> None:
    assert status(None, math.inf) == CurrentStatus(Status.NO_INPUT, "no frame on /camera yet", 0)


def test_a_problem_without_any_frame_is_reported() -> None:
    """A camera topic that carries no images: no frame will ever come."""
    problem = Problem(Status.ERROR, "topic /camera carries words", 0)
    assert status(None, math.inf, problem) == CurrentStatus(Status.ERROR, "topic /camera carries words", 0)


def test_frames_without_an_answer_yet_are_no_input() -> None:
    assert status() == CurrentStatus(Status.NO_INPUT, "the first observation is not answered yet", 0)


def test_a_silent_camera_is_stale_whatever_was_answered() -> None:
    expected = CurrentStatus(Status.STALE_INPUT, "the last frame came 0.6 s ago", NOW_NS - 7)
    assert status(NOW_NS - 7, 0.6, answer=answered()) == expected
    assert status(NOW_NS - 7, 0.6, DAMAGED, answered()) == expected


def test_silence_is_stale_only_beyond_its_limit() -> None:
    assert status(silence_s=0.5, answer=answered()).status == Status.OK
    assert status(silence_s=0.5001, answer=answered()).status == Status.STALE_INPUT


@pytest.mark.parametrize("kind", [Status.ERROR, Status.NO_INPUT])
def test_a_problem_replaces_the_answer_before_it(kind: Status) -> None:
    problem = Problem(kind, "why", NOW_NS - S)
    assert status(problem=problem, answer=answered()) == CurrentStatus(kind, "why", NOW_NS - S)


def test_an_answer_is_ok_until_it_expires() -> None:
    assert status(answer=answered(age_s=2.0)) == CurrentStatus(Status.OK, "", NOW_NS - 2 * S)
    old = status(NOW_NS - 5, answer=answered(age_s=2.1))
    assert (old.status, old.stamp_ns) == (Status.STALE_INPUT, NOW_NS - 5)
    assert "2.1 s before now, and answers expire after 2 s" in old.text
    assert "different clocks" in old.text


def test_a_frame_from_the_future_is_stale() -> None:
    assert status(answer=answered(age_s=-0.5)).status == Status.OK
    ahead = status(NOW_NS + 3 * S, answer=answered(age_s=-3.0))
    assert (ahead.status, ahead.stamp_ns) == (Status.STALE_INPUT, NOW_NS + 3 * S)
    assert "3.0 s after now: camera and robot have different clocks" in ahead.text


def test_no_answer_is_valid_past_now_and_its_time() -> None:
    limits = Limits(0.5, 0.0, 2.0, 0.5)
    for age_s, valid_s in ((1.0, 2.0), (0.0, 2.0), (-0.4, 1.6)):
        state = PredictorState(NOW_NS, NOW_NS, 0.0, None, answered(age_s=age_s))
        assert valid_for_s(state, limits) == pytest.approx(valid_s)
    assert valid_for_s(PredictorState(NOW_NS, None, 0.0, None, None), limits) == 2.0


def test_an_answer_below_the_threshold_abstains() -> None:
    assert status(answer=answered(0.5)).status == Status.OK
    below = status(answer=answered(0.49))
    assert below == CurrentStatus(
        Status.ABSTAIN, "the best candidate has 0.49, the threshold is 0.5", answered(0.49).stamp_ns
    )


def test_the_best_candidate_decides_even_where_hysteresis_keeps_a_less_probable_one() -> None:
    answer = answered(0.8)
    kept = Smoothed(answer.smoothed.probabilities, None, 0, False, True)
    held = AnsweredObservation(answer.answer, kept, answer.start_ns, answer.stamp_ns, 0.05, bytes(16))
    assert status(answer=held).status == Status.ABSTAIN


def test_a_precision_that_nothing_promises_is_named() -> None:
    limits = Limits(threshold=1.1, target_precision=0.95, valid_s=2.0, stale_after_s=0.5)
    result = status(answer=answered(1.0), limits=limits)
    assert result.status == Status.ABSTAIN
    assert result.text == "no probability of bench@12345678 promises a precision of 0.95"


def test_a_revision_moves_only_with_status_or_best_candidate() -> None:
    log = PublicationLog(0)
    said = [(Status.NO_INPUT, ""), (Status.OK, "go"), (Status.OK, "go"), (Status.ABSTAIN, "go"), (Status.OK, "take")]
    assert [log.note(kind, best, 0.0) for kind, best in said] == [1, 2, 2, 3, 4]
    assert log.count == 5
    last = PublicationLog(2**32 - 1)
    assert [last.note(Status.OK, best, 0.0) for best in ("go", "take")] == [0, 1]


def test_a_revision_of_one_activation_names_no_answer_of_another() -> None:
    """A planner that was busy meanwhile saw 2 "mug", and then 2 "jar"."""
    logs = [PublicationLog(), PublicationLog()]
    revisions = [{log.note(Status.OK, f"take {number}", 0.0) for number in range(20)} for log in logs]
    assert not revisions[0] & revisions[1]


def test_a_message_is_due_a_tenth_of_a_cycle_after_an_answer_was() -> None:
    log = PublicationLog()
    assert log.is_due(0.0, rate_hz=5.0, is_stale=False)  # nothing was published yet
    log.note(Status.OK, "go", 10.0)
    assert not log.is_due(10.21, rate_hz=5.0, is_stale=False)
    assert log.is_due(10.23, rate_hz=5.0, is_stale=False)


def test_the_end_of_the_camera_is_due_at_once_and_only_once() -> None:
    log = PublicationLog()
    for kind in (Status.OK, Status.ABSTAIN):
        log.note(kind, "go", 10.0)
        assert log.is_due(10.01, rate_hz=5.0, is_stale=True)
    log.note(Status.STALE_INPUT, "", 10.02)
    assert not log.is_due(10.03, rate_hz=5.0, is_stale=True)
    assert log.is_due(10.3, rate_hz=5.0, is_stale=True)


def test_another_frame_size_than_in_training_is_worth_a_warning() -> None:
    assert size_warning((640, 480), (640, 480)) is None
    assert size_warning((640, 480), (0, 0)) is None
    warning = size_warning((640, 480), (320, 240))
    assert warning is not None
    assert "camera images are 640x480, but the model was trained on 320x240" in warning

"""The belief and the answer of a stream checkpoint over time, and what its message says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gaze_vlm_ros.prediction.answers_over_time import AnswersOverTime, chosen_point, point_text, single
from gaze_vlm_ros.prediction.operating_points import NEVER, OperatingPoint
from gaze_vlm_ros.prediction.status import Limits, answer_status
from gaze_vlm_ros.prediction.stream_metadata import StreamMetadata
from gaze_vlm_ros.prediction.types import Answer, AnsweredObservation, Status

POINTS = (
    OperatingPoint(0.8, 0.6, 0.3, 0.82, 0.5, 5, 0.63),
    OperatingPoint(0.9, 0.7, 0.35, 0.91, 0.4, 22, 0.9005),
    OperatingPoint(0.95, NEVER, NEVER, 0.0, 0.0),
)
STREAM = StreamMetadata(("soon", "later"), "nothing yet", operating_points=POINTS)
LIMITS = Limits(0.7, 0.9, 2.0, 0.5)


def table(first: float, second: float = 0.0) -> np.ndarray:
    return np.array([[first / 2, first / 2], [second, 0.0]])


def test_an_answer_begins_at_one_threshold_and_is_kept_to_another() -> None:
    over_time = AnswersOverTime(STREAM, 2.0, POINTS[1])
    said = []
    for number, (first, second) in enumerate([(0.6, 0.1), (0.7, 0.1), (0.4, 0.5), (0.3, 0.5), (0.1, 0.8)]):
        smoothed = over_time.update(number * 10**8, table(first, second), 1 - first - second)
        said.append((smoothed.best, smoothed.certain, smoothed.changed))
    assert said == [(0, False, True), (0, True, False), (0, True, False), (1, False, True), (1, True, False)]


def test_a_clock_that_is_set_back_forgets_the_answer() -> None:
    over_time = AnswersOverTime(STREAM, 2.0, POINTS[1])
    assert over_time.update(10**9, table(0.9), 0.1).certain
    assert not over_time.update(0, table(0.5), 0.5).certain


def test_one_answer_by_itself_spreads_its_mass_over_each_part() -> None:
    found = single(np.array([[0.1, 0.3], [0.2, 0.0]]), 0.4, 2.0)
    assert found.expected_s == pytest.approx([0.25 * 0.5 + 0.75 * 1.5, 0.5])
    assert found.early_s == pytest.approx([0.1 / 0.25, 0.1])
    assert found.late_s == pytest.approx([1 + (0.9 - 0.25) / 0.75, 0.9])


@pytest.mark.parametrize(
    ("threshold", "target", "begin", "keep"),
    [
        (0.0, 0.0, 0.7, 0.35),  # the checkpoint's own, for 0.9
        (0.0, 0.8, 0.6, 0.3),
        (0.0, 0.85, 0.7, 0.35),  # the next higher one
        (0.0, 0.95, NEVER, NEVER),
        (0.4, 0.0, 0.4, 0.4),  # given by the user
        (0.65, 0.8, 0.65, 0.65),
    ],
)
def test_which_thresholds_are_used(threshold: float, target: float, begin: float, keep: float) -> None:
    point = chosen_point(STREAM, threshold, target)
    assert (point.begin, point.keep) == (begin, keep)


def test_what_no_probability_reached_gives_no_answer_and_what_was_not_measured_the_most_probable() -> None:
    assert chosen_point(replace(STREAM, operating_points=POINTS[2:]), 0.0, 0.0).begin == NEVER
    assert chosen_point(replace(STREAM, operating_points=()), 0.0, 0.0).begin == 0.5


def test_thresholds_say_how_far_they_can_be_trusted() -> None:
    assert point_text(POINTS[0]).endswith("0.30 (precision 0.82 on 5 calibration sessions, uncertified)")
    assert point_text(POINTS[1]).endswith("22 calibration sessions, uncertified)")  # of those who chose
    crossfitted = replace(POINTS[1], persons=4)
    assert point_text(crossfitted).endswith("by thresholds that others of 4 persons chose, certified)")
    assert point_text(POINTS[2]) == "gives no answer: no probability reached target_precision 0.95 in calibration"


@pytest.mark.parametrize(
    ("first", "nothing", "status"),
    [(0.8, 0.2, Status.OK), (0.3, 0.7, Status.NOTHING), (0.6, 0.4, Status.ABSTAIN)],
)
def test_the_status_of_an_answer(first: float, nothing: float, status: Status) -> None:
    smoothed = AnswersOverTime(STREAM, 2.0, POINTS[1]).update(0, table(first), nothing)
    answer = Answer(("a", "b"), table(first).sum(axis=1), "calibrated", table=table(first), nothing_probability=nothing)
    current = answer_status(AnsweredObservation(answer, smoothed, 0, 0, 0.1, bytes(16)), LIMITS, "model")
    assert current.status == status
    assert bool(current.text) == (status != Status.OK)

"""Scores of a stream, against values worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from gaze_vlm_ros.labels.answer_words import NOTHING
from gaze_vlm_ros.prediction.answers_over_time import point_text
from gaze_vlm_ros.prediction.believed_stream import BelievedStream, of_sessions
from gaze_vlm_ros.prediction.operating_points import NEVER, OperatingPoint, crossfitted, lower_share, operating_point
from gaze_vlm_ros.prediction.stream_scores import (
    average_precision,
    expected_times,
    joint_losses,
    person_interval,
    point_average_precision,
    point_scores,
    ranked_probability_scores,
    score_stream,
    top5_recall_1s,
)
from gaze_vlm_ros.prediction.stream_starts import anticipation_times, count_starts, given_answers, scored_actions

A, B = 0, 1
# One session, a moment each second from 0 to 7 s, horizon 2 s in two parts. A begins at 2.5 s, B at 5.5 s, A at 6.5 s;
# nothing is known from 8 s on.
BEGUN = [(2.5, A), (5.5, B), (6.5, A)]
# P(A, part 1), P(A, part 2), P(B, part 1), P(B, part 2); the rest is nothing.
BELIEFS = [
    (0.1, 0.2, 0.0, 0.0),  # 0 s: nothing begins within 2 s
    (0.2, 0.6, 0.0, 0.0),  # 1 s: A in 1.5 s
    (0.7, 0.1, 0.1, 0.0),  # 2 s: A in 0.5 s
    (0.1, 0.0, 0.1, 0.2),  # 3 s: nothing
    (0.0, 0.0, 0.5, 0.1),  # 4 s: B in 1.5 s
    (0.0, 0.6, 0.2, 0.1),  # 5 s: B in 0.5 s
    (0.8, 0.0, 0.0, 0.0),  # 6 s: A in 0.5 s
    (0.3, 0.1, 0.0, 0.2),  # 7 s: nothing within the second that is known
]
NEXT = [NOTHING, A, A, NOTHING, B, B, A, NOTHING]
TO_START_S = [math.nan, 1.5, 0.5, math.nan, 1.5, 0.5, 0.5, math.nan]


def stream(sessions: int = 1, persons: tuple[str, ...] = ("p",)) -> BelievedStream:
    table = np.tile(np.array(BELIEFS).reshape(8, 2, 2), (sessions, 1, 1))
    return BelievedStream(
        session=np.repeat(np.arange(sessions), 8),
        stamps_s=np.tile(np.arange(8.0), sessions),
        table=table,
        nothing=1 - table.sum(axis=(1, 2)),
        action=np.tile(NEXT, sessions),
        to_start_s=np.tile(TO_START_S, sessions),
        known_s=np.tile([math.inf] * 7 + [1.0], sessions),
        horizon_s=2.0,
        begun_session=np.repeat(np.arange(sessions), 3),
        begun_s=np.tile([start_s for start_s, _ in BEGUN], sessions),
        begun_action=np.tile([action for _, action in BEGUN], sessions),
        persons=persons,
    )


def at(threshold: float, keep: float | None = None) -> np.ndarray:
    return given_answers(stream(), np.array([threshold]), np.array([threshold if keep is None else keep]))[:, 0]


def test_the_likelihood_is_that_of_action_and_part_together() -> None:
    # At 7 s all that can still be true: both second parts (0.3), and nothing (0.4).
    expected = [0.7, 0.6, 0.7, 0.6, 0.1, 0.2, 0.8, 0.7]
    assert joint_losses(stream()) == pytest.approx([-math.log(p) for p in expected])


def test_a_belief_that_was_certain_and_wrong_has_a_finite_loss() -> None:
    one = stream()
    wrong = replace(one, table=np.zeros_like(one.table), nothing=np.ones(8))
    assert joint_losses(wrong)[1] == pytest.approx(-math.log(1e-6))


def test_ranked_probability_score_by_hand() -> None:
    rps = ranked_probability_scores(stream())
    assert rps[1] == pytest.approx((0.2**2 + (0.8 - 1) ** 2) / 2)  # begins in part 2
    assert rps[2] == pytest.approx((0.2**2 + 0.1**2) / 2)  # in part 1
    assert rps[0] == pytest.approx((0.1**2 + 0.3**2) / 2)  # not at all
    assert rps[7] == pytest.approx(0.3**2)  # only the first part is known


def test_expected_time_to_start_by_hand() -> None:
    assert expected_times(stream())[5] == pytest.approx([1.5, (0.2 * 0.5 + 0.1 * 1.5) / 0.3])
    assert expected_times(stream())[0, B] == 1.0  # no probability at all: the middle of the horizon


def test_average_precision_by_hand() -> None:
    hits = np.array([True, False, True, False])
    assert average_precision(np.array([0.9, 0.8, 0.7, 0.6]), hits, 4) == pytest.approx(1 / 4 + 1 / 4 * 2 / 3)
    assert average_precision(np.full(4, 0.5), hits, 2) == pytest.approx(0.5)  # a tie: half of all four
    assert math.isnan(average_precision(np.array([0.9]), np.array([False]), 0))


def test_one_threshold_begins_and_ends_an_answer() -> None:
    # Best answers: A 0.3, A 0.8, A 0.8, B 0.3, B 0.6, A 0.6, A 0.8, A 0.4.
    assert at(0.5).tolist() == [NOTHING, A, A, NOTHING, B, A, A, NOTHING]
    assert at(0.7).tolist() == [NOTHING, A, A, NOTHING, NOTHING, NOTHING, A, NOTHING]
    assert at(NEVER).tolist() == [NOTHING] * 8


def test_a_second_threshold_keeps_an_answer() -> None:
    assert at(0.7, keep=0.05).tolist() == [NOTHING, A, A, A, NOTHING, NOTHING, A, A]
    assert at(0.6, keep=0.05).tolist() == [NOTHING, A, A, A, B, A, A, A]  # another that reaches the first replaces it


def test_an_answer_does_not_outlive_its_session() -> None:
    two = stream(2, ("p", "q"))
    given = given_answers(two, np.array([0.7]), np.array([0.05]))[:, 0]
    assert given[7] == A
    assert given[8] == NOTHING


def test_what_becomes_of_each_start() -> None:
    # At 0.5: A at 1 s is right, B at 4 s is right, A at 5 s is false, as B comes first.
    counts = count_starts(stream(), at(0.5))
    assert [counts.right.sum(), counts.false.sum(), counts.early.sum(), counts.duplicate.sum()] == [2, 1, 0, 0]
    # At 0.25: A at 0 s is early (2.5 s ahead), B at 3 s is early, A at 5 s is false.
    counts = count_starts(stream(), at(0.25))
    assert [counts.right.sum(), counts.false.sum(), counts.early.sum(), counts.duplicate.sum()] == [0, 1, 2, 0]
    # B at 2 s is false and goes on at 3 s; B at 5 s is right; what follows A at 7 s is unknown.
    counts = count_starts(stream(), np.array([NOTHING, A, B, B, NOTHING, B, NOTHING, A]))
    assert [counts.right.sum(), counts.false.sum(), counts.unknown.sum()] == [2, 1, 1]


def test_a_second_start_for_the_same_action_is_a_duplicate() -> None:
    moments = replace(stream(), stamps_s=np.array([0.0, 1, 2, 3, 4, 4.5, 5, 7]))
    counts = count_starts(moments, np.array([NOTHING, NOTHING, NOTHING, NOTHING, B, NOTHING, B, NOTHING]))
    assert [counts.right.sum(), counts.duplicate.sum(), counts.judged.sum()] == [1, 1, 2]


def test_an_answer_that_comes_late_is_judged_by_what_follows_its_arrival() -> None:
    counts = count_starts(stream(), at(0.7), latency_s=1.6)
    # A of 1 s arrives at 2.6 s, after A began, and B is next; A of 6 s at 7.6 s, and nothing is known to follow.
    assert [counts.right.sum(), counts.false.sum(), counts.unknown.sum()] == [0, 1, 1]


def test_anticipation_counts_without_a_break_and_not_before_the_last_action() -> None:
    assert scored_actions(stream()).tolist() == [0, 1, 2]
    # A since 1 s; B not when it begins; A since 6 s, for at 5 s B had not begun.
    assert anticipation_times(stream(), at(0.5)).tolist() == [1.5, 0.0, 0.5]
    assert anticipation_times(stream(), at(0.5), latency_s=0.25).tolist() == [1.25, 0.0, 0.25]


def test_point_scores_by_hand() -> None:
    scores = point_scores(stream(), OperatingPoint(0.8, 0.5, 0.5, 0.0, 0.0))
    assert scores["precision"] == pytest.approx(4 / 5)  # said at 1, 2, 4, 5 and 6 s; at 5 s it is wrong
    assert scores["recall"] == pytest.approx(4 / 5)
    assert scores["anticipated"] == pytest.approx(2 / 3)
    assert scores["anticipated_0_5_s"] == pytest.approx(2 / 3)
    assert scores["anticipated_1_s"] == pytest.approx(1 / 3)
    assert scores["anticipation_median_s"] == 0.5
    minutes = 7 / 60
    assert scores["false_starts_per_minute"] == pytest.approx(1 / minutes)
    assert scores["flips_per_action"] == 1.0  # three starts, three actions


def test_the_operating_point_has_the_best_recall_at_its_precision() -> None:
    point = operating_point(stream(), 0.9)
    # At 0.8 A is said at 1, 2 and 6 s, always right; 0.6 adds B, and A at 5 s, which is wrong: 4 of 5.
    assert (point.begin, point.precision, point.recall) == (0.8, 1.0, pytest.approx(3 / 5))
    assert operating_point(stream(), 0.8).recall == pytest.approx(4 / 5)
    hopeless = replace(stream(), action=np.full(8, NOTHING), to_start_s=np.full(8, math.nan))
    assert operating_point(hopeless, 0.5).begin == NEVER


def test_few_sessions_certify_nothing() -> None:
    assert lower_share(5, 5) == pytest.approx(0.1 ** (1 / 5))  # 0.63
    assert lower_share(22, 22) == pytest.approx(0.90, abs=0.001)
    assert lower_share(0, 3) == 0.0
    point = operating_point(stream(), 0.9)
    assert (point.sessions, point.is_certified) == (1, False)


def folds_of(both: BelievedStream) -> list[tuple[BelievedStream, BelievedStream]]:
    parts = [of_sessions(both, np.flatnonzero(np.array(both.persons) == name)) for name in ("ada", "grace")]
    return [(parts[0], parts[1]), (parts[1], parts[0])]


def test_thresholds_are_judged_on_persons_who_did_not_choose_them() -> None:
    """For grace, A is taken for B and B for A: what suits ada is wrong for her."""
    both = stream(2, ("ada", "grace"))
    table = both.table.copy()
    table[both.session == 1] = table[both.session == 1][:, ::-1]
    both = replace(both, table=table)
    point = replace(operating_point(of_sessions(both, np.array([0])), 0.9), begin=0.8, keep=0.8)
    found = crossfitted(point, folds_of(both), 2)
    assert (found.begin, found.keep, found.persons) == (0.8, 0.8, 2)
    # Her best answers reach no precision, so ada gets none; by ada's threshold she gets three, all wrong.
    assert (found.precision, found.recall, found.sessions, found.certified_share) == (0.0, 0.0, 1, 0.0)
    assert crossfitted(OperatingPoint(0.9, NEVER, NEVER, 0.0, 0.0), [], 2).begin == NEVER


def test_only_sessions_of_other_persons_certify() -> None:
    many = stream(24, ("ada", "grace") * 12)
    point = operating_point(many, 0.9)
    assert (point.sessions, point.certified_share > 0.9, point.is_certified) == (24, True, False)
    found = crossfitted(point, folds_of(many), 2)
    assert (found.sessions, found.precision, found.is_certified) == (24, 1.0, True)
    assert "calibration sessions by thresholds that others of 2 persons chose, certified" in point_text(found)
    assert "(precision 1.00 on 24 calibration sessions, uncertified)" in point_text(point)


def test_each_person_is_left_out_once() -> None:
    from training.evaluation.stream_calibration import person_folds

    seven = stream(8, (*"abcdefg", "a"))
    folds, persons = person_folds(seven, None)
    assert (len(folds), persons) == (5, 7)
    assert sorted(number for _, own in folds for number in np.unique(own.session)) == list(range(8))
    for chosen_on, own in folds:
        assert not {seven.persons[n] for n in chosen_on.session} & {seven.persons[n] for n in own.session}
    assert person_folds(stream(2, ("a", "a")), None) == ([], 1)


def test_point_average_precision_by_hand() -> None:
    # Thresholds falling: 1 of 1 right, then 1 of 2, then 3 of 4, of 4 actions.
    right, judged = np.array([1, 1, 3]), np.array([1, 2, 4])
    assert point_average_precision(right, judged, 4) == pytest.approx(0.25 * 1.0 + 0.5 * 0.75)


def test_all_scores_of_a_stream() -> None:
    scores = score_stream(stream(2, ("p", "q")), [OperatingPoint(0.8, 0.5, 0.5, 0.0, 0.0)], latency_s=0.25, draws=20)
    assert (scores["moments"], scores["censored"], scores["actions"], scores["persons"]) == (16, 2, 6, 2)
    assert scores["negative_log_likelihood"] == pytest.approx(joint_losses(stream()).mean())
    assert scores["time_to_start_error_s"] == pytest.approx(np.mean([0.25, 0.125, 5 / 6, 1 / 3, 0.0]))
    assert scores["own_at_precision_0.8"]["anticipation_median_s"] == 0.5
    assert scores["own_at_precision_0.8_late"]["anticipation_median_s"] == 0.25
    # Both persons are alike, so drawing them changes nothing.
    assert scores["intervals"]["negative_log_likelihood"] == pytest.approx([scores["negative_log_likelihood"]] * 2)


def test_an_interval_is_by_person() -> None:
    """Ten sessions of one person that agree say less than they seem to."""
    persons = ("a",) * 10 + ("b",)
    low, high = person_interval(persons, np.arange(11), lambda drawn: float((drawn == 10).mean()), draws=200)
    assert (low, high) == (0.0, 1.0)
    assert math.isnan(person_interval(("a", "a"), np.arange(2), lambda _: 1.0, draws=10)[0])


def test_top5_recall_is_the_mean_of_classes() -> None:
    seven = np.zeros((2, 7, 2))
    seven[:, :, 1] = [[0.05, 0.2, 0.1, 0.1, 0.1, 0.1, 0.01], [0.05, 0.2, 0.1, 0.1, 0.1, 0.1, 0.01]]
    moments = BelievedStream(
        np.zeros(2, np.int64), np.array([0.0, 5.0]), seven, 1 - seven.sum(axis=(1, 2)), np.array([1, 6]),
        np.array([1.0, 1.1]), np.full(2, np.inf), 2.0, np.zeros(2, np.int64), np.array([1.0, 6.1]), np.array([1, 6]),
        ("p",),
    )  # fmt: skip
    assert top5_recall_1s(moments) == 0.5  # action 1 is among the best five, action 6 is not
    assert math.isnan(top5_recall_1s(stream()))  # two actions: everything would be

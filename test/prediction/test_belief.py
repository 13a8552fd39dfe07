"""The filter of what begins next and when, against cases worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gaze_vlm_ros.labels.answer_words import NOTHING
from gaze_vlm_ros.prediction.belief import BeliefFilter, BeliefModel, filtered, fit_belief, tuned
from gaze_vlm_ros.prediction.believed_stream import BelievedStream
from gaze_vlm_ros.prediction.stream_scores import joint_losses

STEP_NS = 100_000_000

# Two actions by turns, always 0.3 s apart; a horizon of 0.2 s in two parts of one step each.
CLOCK = BeliefModel(
    0.2, (0.5, 0.5), ((0, 1, 5), (1, 0, 5)), (0.0, 0.0, 1.0, 0.0), 1.0, ((0.2, 0.2), (0.1, 0.1)), 0.4, power=0.5,
    pseudocount=0.0, forgetting=0.0,
)  # fmt: skip


def test_the_belief_by_hand() -> None:
    """At first the time that remains is 0.1, 0.2 or 0.3 s, evenly; A is twice as frequent as B."""
    belief = BeliefFilter(CLOCK)
    prior = np.array(CLOCK.prior)
    # Evidence that says no more than the prior changes nothing.
    first = belief.update(0, prior, 0.4)
    assert first.table == pytest.approx(np.array([[2 / 9, 2 / 9], [1 / 9, 1 / 9]]))
    assert first.nothing == pytest.approx(1 / 3)
    # A step later: what would begin at once has begun, and the other action follows 0.3 s later.
    second = belief.update(STEP_NS, prior, 0.4)
    assert second.table == pytest.approx(np.array([[2 / 9, 2 / 9], [1 / 9, 1 / 9]]))
    # Evidence of 4 times the prior for A in the second part, to the power of a half, doubles its odds.
    third = belief.update(STEP_NS, np.array([[0.2, 0.8], [0.1, 0.1]]), 0.4)
    assert third.table == pytest.approx(np.array([[2 / 11, 4 / 11], [1 / 11, 1 / 11]]))
    assert third.nothing == pytest.approx(3 / 11)
    # In two steps that mass begins, and B is certain to follow, 0.3 s later: beyond the horizon.
    fourth = belief.update(3 * STEP_NS, prior, 0.4)
    assert fourth.nothing == pytest.approx(4 / 11 + 1 / 11)


def test_expected_time_and_its_points_by_hand() -> None:
    """Between 0.1 and 0.3 s with equal mass in each step, of which the horizon shows the second and third."""
    even = BeliefModel(0.3, (1.0,), (), (0.0, 0.5, 0.5, 0.0), 1.0, ((0.3,),), 0.7, power=0.5)
    found = BeliefFilter(even).update(0, np.array([[0.3]]), 0.7)
    # A renewal process met at any time: 0.1, 0.2 or 0.3 s remain with odds 2, 2 and 1.
    assert found.expected_s[0] == pytest.approx((2 * 0.05 + 2 * 0.15 + 0.25) / 5)
    assert found.early_s[0] == pytest.approx(0.1 * 0.1 / 0.4)
    assert found.late_s[0] == pytest.approx(0.2 + 0.1 * 0.1 / 0.2)


def test_long_times_wait_in_one_state() -> None:
    slow = BeliefModel(0.1, (1.0,), (), (0.0, 0.0, 1.0), 0.25, ((0.1,),), 0.9, power=0.5, forgetting=0.0)
    belief = BeliefFilter(slow)
    # It begins 0.3 s after it was left, which takes four steps on average: odds 1, 1 and 4.
    assert belief.update(0, np.array([[0.1]]), 0.9).table[0, 0] == pytest.approx(1 / 6)
    later = belief.update(20 * STEP_NS, np.array([[0.1]]), 0.9)
    assert later.table[0, 0] == pytest.approx(1 / 6)  # this is how it stays


def test_what_was_believed_is_forgotten_by_and_by() -> None:
    """Half of it in each step: what is true at any time takes its place, by hand."""
    belief = BeliefFilter(replace(CLOCK, forgetting=0.5))
    prior = np.array(CLOCK.prior)
    first = belief.update(0, np.array([[0.2, 0.8], [0.1, 0.1]]), 0.4)
    assert first.table == pytest.approx(np.array([[2 / 11, 4 / 11], [1 / 11, 1 / 11]]))
    # A step later without forgetting: [[4, 2], [1, 1]] / 11, where 1 / 11 of A was beyond the horizon's second part.
    passed = np.array([[4 / 11, 2 / 11], [1 / 11, 1 / 11]])
    at_any_time = np.array([[2 / 9, 2 / 9], [1 / 9, 1 / 9]])
    assert belief.update(STEP_NS, prior, 0.4).table == pytest.approx((passed + at_any_time) / 2)


def test_a_clock_that_is_set_back_or_a_long_pause_resets_the_belief() -> None:
    belief = BeliefFilter(CLOCK)
    first = belief.update(10**12, np.array([[0.9, 0.0], [0.0, 0.0]]), 0.1)
    for stamp_ns in (5 * 10**11, 10**12):
        again = belief.update(stamp_ns, np.array([[0.9, 0.0], [0.0, 0.0]]), 0.1)
        assert again.table == pytest.approx(first.table)


def test_frames_that_jitter_let_as_much_time_pass_as_they_span() -> None:
    belief, steady = BeliefFilter(CLOCK), BeliefFilter(CLOCK)
    answer = np.array([[0.5, 0.1], [0.1, 0.1]]), 0.2
    for at_s in (0.0, 0.133, 0.266, 0.4):  # 1.33 steps each, 4 in all
        belief.update(round(at_s * 1e9), np.array(CLOCK.prior), 0.4)
    steady.update(0, np.array(CLOCK.prior), 0.4)
    assert belief.update(400_000_000, *answer).table == pytest.approx(steady.update(400_000_000, *answer).table)


def test_parameters_come_from_labels() -> None:
    sessions = [([0.0, 2.0, 4.0, 6.0], [0, 1, 0, 1]), ([1.0, 3.0], [0, NOTHING])]
    prior = np.full((2, 2), 0.1)
    model = fit_belief(sessions, prior, 0.6, horizon_s=1.0)
    assert model is not None
    # A began 3 times of 5, and B followed it twice: (2 + 0.4) of (2 + 1).
    assert model.transitions() == pytest.approx(np.array([[0.2, 0.8], [0.8, 0.2]]), abs=1e-3)
    gaps = np.array(model.gaps)
    assert gaps.sum() == pytest.approx(1, abs=1e-4)
    assert (gaps * (np.arange(len(gaps)) + 0.5)).sum() * 0.1 == pytest.approx(2.0, abs=0.05)
    assert fit_belief([([1.0], [0])], prior, 0.6, 1.0) is None


def noisy_stream(overlap: int, pace_s: float = 1.0) -> BelievedStream:
    """Actions every `pace_s` by turns; evidence that is right in 8 of 10 times, and repeats itself `overlap` times."""
    generator = np.random.default_rng(0)
    stamps_s = np.arange(0, 20, 0.1)
    to_start_s = pace_s - (stamps_s % pace_s)
    action = (np.floor(stamps_s / pace_s + 1e-9).astype(int) + 1) % 2
    part = np.ceil(to_start_s / 0.5 - 1e-9).astype(int) - 1
    table = np.full((200, 2, 2), 0.05)
    for block in range(0, 200, overlap):
        right = generator.random() < 0.8
        for row in range(block, min(block + overlap, 200)):
            table[row, action[row] if right else 1 - action[row], part[row]] = 0.8
    nothing = 1 - table.sum(axis=(1, 2))
    return BelievedStream(
        np.zeros(200, np.int64), stamps_s, table, nothing, action, to_start_s, np.full(200, np.inf), 1.0,
        np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64), ("p",),
    )  # fmt: skip


def test_answers_that_repeat_themselves_count_less() -> None:
    model = fit_belief([(np.arange(100.0), [number % 2 for number in range(100)])], np.full((2, 2), 0.24), 0.04, 1.0)
    assert model is not None
    alone, repeated = (tuned(model, noisy_stream(overlap)) for overlap in (1, 10))
    assert alone[0].power > repeated[0].power
    assert alone[1] < joint_losses(noisy_stream(1)).mean() / 2
    assert joint_losses(filtered(noisy_stream(1), alone[0])).mean() == pytest.approx(alone[1])


def test_a_clock_that_others_do_not_keep_is_forgotten() -> None:
    """Trained on a person whose actions are 1 s apart: of one who is faster, a filter that forgets knows more."""
    model = fit_belief([(np.arange(100.0), [number % 2 for number in range(100)])], np.full((2, 2), 0.24), 0.04, 1.0)
    assert model is not None
    same, faster = noisy_stream(1), noisy_stream(1, pace_s=0.6)
    assert tuned(model, same)[0].forgetting < tuned(model, faster)[0].forgetting

"""Rules: their regression against hand-computed cases, and what they find on the benches."""

import functools

import numpy as np
import pytest

from gaze_vlm_ros.labels.answer_words import NOTHING
from gaze_vlm_ros.prediction.stream_scores import joint_losses
from training.reference.regression import fit_conditional, fit_multinomial, log_shares
from training.reference.rules import READS_GAZE, RULES, FittedRule, fit_rule
from training.reference.seen import Question, Seen, believed, lead_rows, sessions_of, stream_rows, truth_of

QUESTION = Question()


@functools.lru_cache
def sessions(bench: int) -> tuple[list[Seen], list[Seen]]:
    return sessions_of(bench, range(6)), sessions_of(bench, range(100, 105))


@functools.lru_cache
def fitted(name: str, bench: int) -> FittedRule:
    return fit_rule(RULES[name], sessions(bench)[0], QUESTION)


def accuracy(name: str, bench: int, lead_s: float) -> float:
    rule, hits = fitted(name, bench), []
    for seen in sessions(bench)[1]:
        rows, actions = lead_rows(seen, lead_s, QUESTION)
        hits += (rule.answer(seen, rows).begins.sum(axis=2).argmax(axis=1) == actions).tolist()
    return float(np.mean(hits))


def loss(name: str, bench: int) -> float:
    rule, held_out = fitted(name, bench), sessions(bench)[1]
    tables = [rule.answer(seen, stream_rows(seen, QUESTION)) for seen in held_out]
    return float(joint_losses(believed(held_out, tables, QUESTION)).mean())


def test_two_options_are_chosen_by_the_logarithm_of_their_odds() -> None:
    """3 of 4 choose the option with the feature: its weight is log 3."""
    options = np.zeros((400, 2, 1))
    options[:, 0, 0] = 1.0
    weights = fit_conditional(options, np.repeat([0, 0, 0, 1], 100), ridge=1e-9)
    assert weights[0] == pytest.approx(np.log(3), abs=1e-6)


def test_classes_by_group_are_their_shares() -> None:
    features = np.repeat(np.eye(2), 100, axis=0)
    classes = np.r_[np.repeat([0, 1, 2], [20, 30, 50]), np.repeat([0, 1, 2], [60, 30, 10])]
    weights = fit_multinomial(features, classes, 3, ridge=1e-6)
    np.testing.assert_allclose(np.exp(log_shares(np.eye(2) @ weights.T)), [[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]], atol=1e-4)


def test_the_truth_is_what_begins_next() -> None:
    seen = sessions(2)[0][0]
    rows = stream_rows(seen, QUESTION)
    action, to_start_s = truth_of(seen, rows, QUESTION)
    for row, what, when_s in zip(rows, action, to_start_s, strict=True):
        later = seen.actions.starts_s - seen.times_s[row]
        due = [number for number, wait_s in enumerate(later) if 0 < wait_s <= QUESTION.horizon_s]
        assert what == (seen.actions.targets[due[0]] if due else NOTHING)
        assert (np.isnan(when_s) and not due) or when_s == pytest.approx(later[due[0]])


@pytest.mark.parametrize("name", RULES)
def test_every_rule_gives_probabilities(name: str) -> None:
    seen = sessions(2)[1][0]
    table = fitted(name, 2).answer(seen, stream_rows(seen, QUESTION))
    np.testing.assert_allclose(table.begins.sum(axis=(1, 2)) + table.nothing, 1.0)
    assert table.begins.min() >= 0


def test_a_rule_sees_nothing_after_its_moment() -> None:
    """The answer at a frame is the same if all that follows is another session."""
    seen, other = sessions(2)[1][:2]
    for name in RULES:
        row = 200
        cut = {
            field: np.concatenate([getattr(seen, field)[: row + 1], getattr(other, field)[row + 1 :]])
            for field in ("places", "hand", "head", "camera", "hint", "doing", "ended_s", "gaze")
        }
        mixed = Seen(seen.settings, seen.times_s, **cut, view=seen.view, actions=seen.actions)
        rows = np.array([row])
        np.testing.assert_array_equal(
            fitted(name, 2).answer(seen, rows).begins, fitted(name, 2).answer(mixed, rows).begins
        )


def test_on_bench_1_the_hand_gives_it_away_and_on_bench_2_it_does_not() -> None:
    assert accuracy("hand and clock", 1, 0.75) > 0.95
    assert accuracy("hand and clock", 2, 0.75) < 0.5
    assert accuracy("hand and clock", 2, 0.15) > 0.95  # the hand is nearly there
    assert loss("clock", 1) < 0.7 * loss("label prior", 1)
    assert loss("clock", 2) > 0.85 * loss("label prior", 2)


def test_no_sign_clock_or_order_names_the_object_better_than_stated() -> None:
    share = 0.5
    for lead_s in (0.15, 0.45, 0.9):
        actions = sum(len(lead_rows(seen, lead_s, QUESTION)[0]) for seen in sessions(2)[1])
        for name, stated in (("sign", share), ("clock", 1 / 6), ("label prior", 1 / 6)):
            assert accuracy(name, 2, lead_s) < stated + 3 * np.sqrt(stated * (1 - stated) / actions)


def test_true_gaze_adds_to_all_that_pixels_show() -> None:
    assert loss("true gaze, hand, clock and sign", 2) < loss("hand, clock and sign", 2)
    assert {"true gaze", "true gaze, hand, clock and sign"} == READS_GAZE

"""Rules that need no pixels: what a few numbers at a moment say about what begins next, and when.

A rule is two lists of numbers, features of each object and features of the moment. Both become probabilities by a
regression that is fitted on training sessions: P(part of the horizon, or nothing | moment), and for each part
P(object | part, features). Then a rule can be scored as a model is, by accuracy and by likelihood.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.labels.answer_words import NOTHING, part_of
from gaze_vlm_ros.prediction.believed_stream import Floats, Ints
from gaze_vlm_ros.sim.bench_scene import GRASP
from training.reference.regression import fit_conditional, fit_multinomial, log_shares
from training.reference.seen import Question, Seen, Table, stream_rows, truth_of

_MOTION_S = 0.3  # over which the hand's motion is measured
_MOVES = 40.0  # units a second: faster than a resting hand seems to be, with its noise
_BINS = 8  # of a number that says when: its quantiles in training
_GAZE_S = (0.0, 0.2, 0.4, 0.8)  # before the moment: where the gaze reader looks
_ON = 40.0  # units: gaze is on an object that is nearer

Features = Callable[[Seen, Ints], Floats]  # (session, M rows) -> (M, objects, F) or (M, G)


# Features of each object.


def _which(seen: Seen, rows: Ints) -> Floats:
    """Which object it is: (M, O, O)."""
    count = seen.places.shape[1]
    return np.broadcast_to(np.eye(count), (len(rows), count, count))


def _put_last(seen: Seen, rows: Ints) -> Floats:
    """Whether it was moved last: (M, O, 1)."""
    row = np.searchsorted(seen.actions.starts_s, seen.times_s[rows], side="right") - 1
    last = np.where(row >= 0, seen.actions.targets[np.maximum(row, 0)], -1)
    return (last[:, None] == np.arange(seen.places.shape[1])).astype(float)[..., None]


def _sign(seen: Seen, rows: Ints) -> Floats:
    """Whether the sign shows its colour: (M, O, 1)."""
    return (seen.hint[rows][:, None] == np.arange(seen.places.shape[1])).astype(float)[..., None]


def _near_hand(seen: Seen, rows: Ints) -> Floats:
    """How far the fingertips are from where they would take it: (M, O, 3)."""
    hand, _, _ = _hand(seen, rows)
    away = np.linalg.norm(seen.places[rows] + GRASP - hand[:, None], axis=2)
    nearest = away == away.min(axis=1, keepdims=True)
    known = np.isfinite(away)
    return np.where(known[..., None], np.stack([-away / 100, -np.sqrt(away) / 10, nearest], axis=2), 0.0)


def _ahead_of_hand(seen: Seen, rows: Ints) -> Floats:
    """Whether the hand moves towards it, and how far it would pass it by: (M, O, 3)."""
    hand, motion, moves = _hand(seen, rows)
    to = seen.places[rows] + GRASP - hand[:, None]
    speed = np.maximum(np.linalg.norm(motion, axis=1), 1e-6)
    along = np.einsum("mod,md->mo", to, motion) / speed[:, None]
    away = np.maximum(np.linalg.norm(to, axis=2), 1e-6)
    aside = np.sqrt(np.maximum(away**2 - along**2, 0.0))
    made = np.stack([along / away, -aside / 50, np.maximum(-along, 0.0) / -50], axis=2)
    return np.where(moves[:, None, None], made, 0.0)


def _near_gaze(seen: Seen, rows: Ints) -> Floats:
    """How near gaze is to it, and was shortly before: (M, O, 2 for each of _GAZE_S)."""
    made = []
    for before_s in _GAZE_S:
        at = _recent(seen.gaze, rows - round(before_s * seen.settings.frame_rate_hz), 3)
        away = np.linalg.norm(seen.places[rows] - at[:, None], axis=2)
        near = np.exp(-0.5 * np.square(away / 25))
        made += [np.where(np.isfinite(away), near, 0.0), np.where(np.isfinite(away), -away / 200, 0.0)]
    return np.stack(made, axis=2)


# Features of the moment; NaN = not known. They are divided into quantiles.


def _always(_: Seen, rows: Ints) -> Floats:
    return np.zeros((len(rows), 0))


def _clock(seen: Seen, rows: Ints) -> Floats:
    """Time since the last action ended; since the present one began: (M, 2)."""
    now_s, busy = seen.times_s[rows], seen.doing[rows] >= 0
    row = np.searchsorted(seen.actions.starts_s, now_s, side="right") - 1
    since_s = now_s - np.where(row >= 0, seen.actions.starts_s[np.maximum(row, 0)], 0.0)
    return np.column_stack([np.where(busy, np.nan, now_s - seen.ended_s[rows]), np.where(busy, since_s, np.nan)])


def _distance(seen: Seen, rows: Ints) -> Floats:
    """How far the nearest object is from the fingertips: (M, 1)."""
    hand, _, _ = _hand(seen, rows)
    return np.linalg.norm(seen.places[rows] + GRASP - hand[:, None], axis=2).min(axis=1)[:, None]


def _arrival(seen: Seen, rows: Ints) -> Floats:
    """When the hand would be at the object that it moves towards, at its present speed, and that speed: (M, 2)."""
    hand, motion, moves = _hand(seen, rows)
    to = seen.places[rows] + GRASP - hand[:, None]
    speed = np.maximum(np.linalg.norm(motion, axis=1), 1e-6)
    along = np.einsum("mod,md->mo", to, motion) / speed[:, None]
    away = np.maximum(np.linalg.norm(to, axis=2), 1e-6)
    best = np.argmax(np.where(moves[:, None], along / away, 0.0), axis=1)
    arrival_s = away[np.arange(len(rows)), best] / speed
    return np.column_stack([np.where(moves, arrival_s, np.nan), speed])


def _gaze_rest(seen: Seen, rows: Ints) -> Floats:
    """For how much of the last second gaze has been on the object that it is on now: (M, 1)."""
    now = _recent(seen.gaze, rows, 3)
    away = np.linalg.norm(seen.places[rows] - now[:, None], axis=2)
    on = np.argmin(np.where(np.isfinite(away), away, np.inf), axis=1)
    count = np.zeros(len(rows))
    for back in range(round(seen.settings.frame_rate_hz)):
        at = np.maximum(rows - back, 0)
        count += np.linalg.norm(seen.places[at, on] - seen.gaze[at], axis=1) < _ON
    known = np.isfinite(away).all(axis=1) & (away.min(axis=1) < _ON)
    return np.where(known, count, np.nan)[:, None]


def _hand(seen: Seen, rows: Ints) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return the fingertips (M, 2), where they were seen last in 0.3 s, their motion per second, whether they move."""
    back = max(1, round(_MOTION_S * seen.settings.frame_rate_hz))
    hand = _recent(seen.hand, rows, back)
    before = _recent(seen.hand, rows - back, 1)
    motion = np.nan_to_num((hand - before) / (back / seen.settings.frame_rate_hz))
    moves = (np.linalg.norm(motion, axis=1) > _MOVES) & (seen.doing[rows] < 0)
    return hand, motion, moves


def _recent(values: Floats, rows: Ints, back: int) -> Floats:
    """Return (M, 2) the newest known value in the last `back` frames; NaN = none."""
    found = np.full((len(rows), values.shape[1]), np.nan)
    for step in range(back, -1, -1):
        at = values[np.maximum(rows - step, 0)]
        found = np.where(np.isfinite(at), at, found)
    return found


@dataclass(frozen=True)
class Rule:
    """What a rule looks at."""

    what: tuple[Features, ...]
    when: tuple[Features, ...]


_HAND = (_near_hand, _ahead_of_hand)
RULES = {
    "label prior": Rule((_which,), (_always,)),
    "clock": Rule((_which, _put_last), (_clock,)),
    "sign": Rule((_sign,), (_always,)),
    "nearest to the hand": Rule((_near_hand,), (_distance,)),
    "direction of the hand": Rule((_ahead_of_hand,), (_arrival,)),
    "hand and clock": Rule((_which, _put_last, *_HAND), (_clock, _distance, _arrival)),
    "hand, clock and sign": Rule((_which, _put_last, _sign, *_HAND), (_clock, _distance, _arrival)),
    "true gaze": Rule((_near_gaze,), (_gaze_rest,)),
    "true gaze, hand, clock and sign": Rule(
        (_which, _put_last, _sign, *_HAND, _near_gaze), (_clock, _distance, _arrival, _gaze_rest)
    ),
}
READS_GAZE = frozenset(name for name in RULES if "gaze" in name)  # at test time, which no model may


@dataclass(frozen=True)
class FittedRule:
    """A rule with what it learned from training sessions."""

    rule: Rule
    edges: tuple[Floats, ...]  # of each number that says when: quantiles in training
    when: Floats  # (parts + 1, G) weights; the last is nothing
    what: Floats  # (parts, F) weights

    def answer(self, seen: Seen, rows: Ints) -> Table:
        """Return the beliefs at these frames of a session."""
        parts = len(self.what)
        when = np.exp(log_shares(_binned(self.rule, seen, rows, self.edges) @ self.when.T))
        options = _options(self.rule, seen, rows)
        what = np.stack([np.exp(log_shares(options @ weights)) for weights in self.what], axis=2)
        return Table(what * when[:, None, :parts], when[:, parts])


def fit_rule(rule: Rule, sessions: Sequence[Seen], question: Question) -> FittedRule:
    """Fit a rule on all moments of training sessions."""
    rows = [stream_rows(seen, question) for seen in sessions]
    raw = np.concatenate([_numbers(rule, seen, at) for seen, at in zip(sessions, rows, strict=True)])
    edges = tuple(_quantiles(column) for column in raw.T)
    binned = np.concatenate([_binned(rule, seen, at, edges) for seen, at in zip(sessions, rows, strict=True)])
    options = np.concatenate([_options(rule, seen, at) for seen, at in zip(sessions, rows, strict=True)])
    truths = [truth_of(seen, at, question) for seen, at in zip(sessions, rows, strict=True)]
    action = np.concatenate([action for action, _ in truths])
    part = np.array([
        question.parts if start_s != start_s else part_of(start_s, question.horizon_s, question.parts)
        for _, starts_s in truths for start_s in starts_s.tolist()
    ])  # fmt: skip
    when = fit_multinomial(binned, part, question.parts + 1)
    what = []
    for number in range(question.parts):
        mine = (part == number) & (action != NOTHING)
        what.append(fit_conditional(options[mine], action[mine]))
    return FittedRule(rule, edges, when, np.array(what))


def _options(rule: Rule, seen: Seen, rows: Ints) -> Floats:
    return np.concatenate([features(seen, rows) for features in rule.what], axis=2)


def _numbers(rule: Rule, seen: Seen, rows: Ints) -> Floats:
    return np.concatenate([features(seen, rows) for features in rule.when], axis=1)


def _quantiles(column: Floats) -> Floats:
    known = column[np.isfinite(column)]
    return np.unique(np.quantile(known, np.arange(1, _BINS) / _BINS)) if len(known) else np.empty(0)


def _binned(rule: Rule, seen: Seen, rows: Ints, edges: Sequence[Floats]) -> Floats:
    """Return (M, G): a constant, and for each number which of its quantiles it is in, or that it is not known."""
    made = [np.ones((len(rows), 1))]
    for column, own in zip(_numbers(rule, seen, rows).T, edges, strict=True):
        bins = np.where(np.isfinite(column), np.searchsorted(own, column), len(own) + 1)
        made.append(np.eye(len(own) + 2)[bins])
    return np.concatenate(made, axis=1)

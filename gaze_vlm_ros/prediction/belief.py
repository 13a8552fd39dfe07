"""Belief over time about what begins next and when: an explicit-duration hidden Markov model (Ferguson 1980, Yu 2010).

The hidden state is the next action and the time until it begins, on a grid. Time passes: what remains becomes less, and
an action that begins is followed by another, by the transitions and the times between actions of the training labels.
Each answer of the model is evidence: divided by the training prior, since the filter has its own, and raised to a power
below 1, because successive answers show mostly the same frames and are not independent.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gaze_vlm_ros.labels.answer_words import NOTHING
from gaze_vlm_ros.prediction.believed_stream import BelievedStream, Floats, with_table
from gaze_vlm_ros.prediction.stream_scores import joint_losses

STEP_S = 0.1  # of the grid
POWERS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)  # tried on the calibration sessions
FORGETTINGS = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1)  # tried on them too
LEAST_EVIDENCE = 1e-4  # floor of a probability: one answer that calls the truth impossible must not end its chances
LONGEST_S = 30.0  # longer times between actions share one state
_SPREAD_S = 0.2  # times between actions are smoothed by a Gaussian of this standard deviation: labels are few


@dataclass(frozen=True)
class BeliefModel:
    """Parameters of the filter; plain tuples, as they are kept in a checkpoint. A actions, K parts of the horizon."""

    horizon_s: float
    frequencies: tuple[float, ...]  # (A,) share of each action in the training labels
    followed: tuple[tuple[int, int, int], ...]  # (action, the one that began next, how often)
    # (R,) P(time from the begin of an action to that of the next, in steps of STEP_S); the last entry holds all longer
    # times
    gaps: tuple[float, ...]
    leaving: float  # probability of leaving that last state in a step
    prior: tuple[tuple[float, ...], ...]  # (A, K) share of each answer in the training windows
    prior_nothing: float
    power: float = 0.3  # of the evidence, below 1
    # Share of the belief that is given up in each step for what is true at any time: people differ in their pace, and
    # without it a clock that is slightly wrong becomes certain
    forgetting: float = 0.02
    pseudocount: float = 1.0  # an action is followed by any other as if it had been so often, by their frequencies

    def transitions(self) -> Floats:
        """Return (A, A) P(next action | action that begins)."""
        frequencies = np.asarray(self.frequencies) / sum(self.frequencies)
        counts = np.tile(self.pseudocount * frequencies, (len(frequencies), 1))
        for before, after, count in self.followed:
            counts[before, after] += count
        sums = counts.sum(axis=1, keepdims=True)
        return np.where(sums > 0, counts / np.where(sums > 0, sums, 1), frequencies)


@dataclass(frozen=True)
class Belief:
    """What is believed at one moment."""

    table: Floats  # (A, K) P(action, part of the horizon)
    nothing: float  # P(nothing begins within the horizon)
    expected_s: Floats  # (A,) time until each action begins, given that it does within the horizon
    early_s: Floats  # (A,) its 10 % point
    late_s: Floats  # (A,) its 90 % point


def fit_belief(
    starts: Sequence[tuple[Sequence[float], Sequence[int]]], prior: Floats, prior_nothing: float, horizon_s: float
) -> BeliefModel | None:
    """Return the filter of some training sessions; None where no action follows another.

    starts: of each session the times at which actions began, s, ascending, and which, NOTHING = one that the model does
    not know. prior: (A, K) share of each answer in the training windows.
    """
    actions = len(prior)
    gaps_s = np.concatenate([np.empty(0), *(np.diff(np.asarray(times_s, float)) for times_s, _ in starts)])
    gaps_s = gaps_s[gaps_s > 0]
    if not len(gaps_s):
        return None
    followed: Counter[tuple[int, int]] = Counter()
    seen = np.full(actions, 1e-3)
    for _, which in starts:
        for action in which:
            seen[action] += action != NOTHING
        for before, after in itertools.pairwise(which):
            if NOTHING not in (before, after):
                followed[before, after] += 1
    longest_s = min(LONGEST_S, max(float(np.quantile(gaps_s, 0.95)) + 3 * _SPREAD_S, horizon_s + 1.0))
    count = math.ceil(longest_s / STEP_S)
    middles_s = (np.arange(count) + 0.5) * STEP_S
    near = np.exp(-0.5 * np.square((middles_s - gaps_s[:, None]) / _SPREAD_S))
    within = near / np.maximum(near.sum(axis=1, keepdims=True), 1e-300)
    beyond = gaps_s >= count * STEP_S
    gaps = within[~beyond].sum(axis=0)
    gaps[-1] += beyond.sum()
    gaps += 0.01 * len(gaps_s) / count  # any time is possible
    excess_s = float((gaps_s[beyond] - (count - 1) * STEP_S).mean()) if beyond.any() else STEP_S
    return BeliefModel(
        horizon_s,
        tuple((seen / seen.sum()).round(6).tolist()),
        tuple((before, after, count) for (before, after), count in sorted(followed.items())),
        tuple((gaps / gaps.sum()).round(6).tolist()),
        round(min(1.0, STEP_S / max(excess_s, STEP_S)), 4),
        tuple(tuple(row) for row in prior.round(6).tolist()),
        round(prior_nothing, 6),
    )


class BeliefFilter:
    """The belief of one stream. Call `update` with its answers in the order of time."""

    def __init__(self, model: BeliefModel) -> None:
        self._model = model
        self._transitions = model.transitions()
        self._gaps = np.asarray(model.gaps) / sum(model.gaps)
        self._prior = np.maximum(np.asarray(model.prior), LEAST_EVIDENCE)
        parts = self._prior.shape[1]
        # (R, K + 1) share of each state's time that lies in each part of the horizon, and after it.
        edges_s = np.append(np.arange(parts + 1) / parts * model.horizon_s, np.inf)
        from_s = np.arange(len(self._gaps))[:, None] * STEP_S
        shares = (np.minimum(from_s + STEP_S, edges_s[1:]) - np.maximum(from_s, edges_s[:-1])) / STEP_S
        self._in_part = np.clip(shares, 0.0, 1.0)
        self._in_part[-1] = np.eye(parts + 1)[parts]  # all longer times
        self._middles_s = (np.arange(len(self._gaps)) + 0.5) * STEP_S
        self._within = 1 - self._in_part[:, -1]
        actions = self._prior.sum(axis=1)
        remaining = self._gaps[::-1].cumsum()[::-1]  # of a renewal process that is met at any time
        remaining[-1] = self._gaps[-1] / model.leaving
        self._at_any_time = np.outer(actions / actions.sum(), remaining / remaining.sum())
        self.reset()

    def reset(self) -> None:
        """Forget everything but what actions are frequent and how long they are apart."""
        self._state = self._at_any_time
        self._begun_ns: int | None = None  # stamp at which the grid of time begins
        self._steps = 0  # since then

    def update(self, stamp_ns: int, table: Floats, nothing: float) -> Belief:
        """Return the belief after one more answer.

        stamp_ns: of the answer's last frame. table: (A, K). A stamp that is not newer than the one before, or newer by
        more than LONGEST_S, resets the filter.
        """
        if self._begun_ns is not None:
            steps = round((stamp_ns - self._begun_ns) / 1e9 / STEP_S) - self._steps
            if steps < 0 or steps * STEP_S > LONGEST_S:
                self.reset()
            else:
                for _ in range(steps):
                    self._pass()
                self._steps += steps
        if self._begun_ns is None:
            self._begun_ns = stamp_ns
        evidence = np.maximum(table, LEAST_EVIDENCE) / self._prior
        against = max(nothing, LEAST_EVIDENCE) / max(self._model.prior_nothing, LEAST_EVIDENCE)
        likelihoods = evidence @ self._in_part[:, :-1].T + against * self._in_part[:, -1]
        self._state = self._state * likelihoods**self._model.power
        self._state /= self._state.sum()
        return self._belief()

    def _pass(self) -> None:
        """Let one step of time pass."""
        state, leaving = self._state, self._model.leaving
        passed = np.zeros_like(state)
        passed[:, :-1] = state[:, 1:]
        passed[:, -1] = state[:, -1] * (1 - leaving)
        passed[:, -2] *= leaving  # of the last state, only what leaves it
        passed += np.outer(state[:, 0] @ self._transitions, self._gaps)
        self._state = passed + self._model.forgetting * (self._at_any_time - passed)

    def _belief(self) -> Belief:
        parts = self._state @ self._in_part
        within = self._state * self._within
        sums = np.maximum(within.sum(axis=1, keepdims=True), 1e-300)
        reached = within.cumsum(axis=1) / sums
        horizon_s = self._model.horizon_s
        early_s, late_s = (np.minimum(self._quantile(reached, within / sums, share), horizon_s) for share in (0.1, 0.9))
        expected_s = np.minimum((within / sums) @ self._middles_s, horizon_s)
        return Belief(parts[:, :-1], float(parts[:, -1].sum()), expected_s, early_s, late_s)

    @staticmethod
    def _quantile(reached: Floats, mass: Floats, share: float) -> Floats:
        """Return (A,) the time by which a share of the mass has begun, s; it is spread evenly over each step."""
        step = (reached >= share - 1e-12).argmax(axis=1)
        rows = np.arange(len(reached))
        before = reached[rows, step] - mass[rows, step]
        inside = (share - before) / np.maximum(mass[rows, step], 1e-300)
        return np.asarray((step + np.clip(inside, 0, 1)) * STEP_S)


def filtered(stream: BelievedStream, model: BeliefModel) -> BelievedStream:
    """Return the stream with the filter's beliefs in place of single answers."""
    belief = BeliefFilter(model)
    table, nothing = np.empty_like(stream.table), np.empty_like(stream.nothing)
    expected_s = np.empty(stream.table.shape[:2])
    for row, is_first in enumerate(stream.new_session):
        if is_first:
            belief.reset()
        stamp_ns = round(stream.stamps_s[row] * 1e9)
        found = belief.update(stamp_ns, stream.table[row], float(stream.nothing[row]))
        table[row], nothing[row], expected_s[row] = found.table, found.nothing, found.expected_s
    return with_table(stream, table, nothing, expected_s)


def tuned(model: BeliefModel, stream: BelievedStream) -> tuple[BeliefModel, float]:
    """Return the filter that gives a calibration stream the best likelihood, and its mean loss, nats.

    First one of POWERS is chosen, then one of FORGETTINGS at that power: the two hardly depend on each other.
    """
    best, _ = _likeliest([replace(model, power=power) for power in POWERS], stream)
    return _likeliest([replace(best, forgetting=forgetting) for forgetting in FORGETTINGS], stream)


def _likeliest(models: Sequence[BeliefModel], stream: BelievedStream) -> tuple[BeliefModel, float]:
    losses = [float(joint_losses(filtered(stream, model)).mean()) for model in models]
    best = int(np.argmin(losses))
    return models[best], losses[best]

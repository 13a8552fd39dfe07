"""Smoothing of answers over time: averages them, holds on to the best one, and says when it is too improbable.

Successive windows share most of their frames, so their answers are not independent, and adding up log-probabilities
would make the sum far too certain. They are averaged instead, with weights that decay in time: a logarithmic opinion
pool (Genest and Zidek 1986), which is as certain as one window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.prediction.belief import Belief

# Floor of a probability: one window that calls the truth impossible must not outweigh many others.
LEAST_PROBABILITY = 1e-4


@dataclass(frozen=True)
class Smoothed:
    """The smoothed answer after one more window."""

    probabilities: NDArray[np.float64]  # (A,), together with other_probability they sum to 1
    other_probability: float | None  # that none of the answers is right; None = unknown, as in the input
    best: int  # index into probabilities; not always the maximum, see PredictionSmoother.switch_ratio
    changed: bool  # best differs from the one before; True at the first answer
    certain: bool  # the probability of best reaches the threshold
    belief: Belief | None = None  # of answers that say what and when; None = answers are labels


class PredictionSmoother:
    """Averages the answers of successive windows. Its public attributes may be changed between two answers."""

    def __init__(self, decay_s: float = 0.5, switch_ratio: float = 1.5, threshold: float = 0.0) -> None:
        """decay_s: an answer of this age weighs 1/e of a new one; 0 = no smoothing.

        switch_ratio: another answer replaces the best one when it is this many times as probable; 1 = at once.
        threshold: least probability of the best answer for `certain`.
        """
        self.decay_s, self.switch_ratio, self.threshold = decay_s, switch_ratio, threshold
        self.reset()

    def reset(self) -> None:
        """Forget all answers."""
        self._stamp_ns: int | None = None
        self._logs: dict[str | int, float] = {}  # averaged log-probability of each answer
        self._other: float | None = None  # averaged log-probability that none of them is right
        self._best: str | int | None = None

    def update(
        self,
        stamp_ns: int,
        probabilities: NDArray[np.float64],
        other_probability: float | None = None,
        texts: tuple[str, ...] = (),
    ) -> Smoothed:
        """Average the answer of one window with those before it.

        stamp_ns: of the window's last frame. probabilities: (A,). texts: (A,) what they belong to, where that differs
        from answer to answer.
        A stamp that is not newer than the one before (the clock was set back, or a bag started again) resets the
        smoother. So does a gap after which earlier answers no longer count (10 decay_s, at least 1 s).
        """
        names: tuple[str | int, ...] = texts or tuple(range(len(probabilities)))
        if self._stamp_ns is not None:
            gap_s = (stamp_ns - self._stamp_ns) / 1e9
            if gap_s <= 0 or gap_s > max(10 * self.decay_s, 1.0):
                self.reset()
        kept = 0.0 if self._stamp_ns is None or self.decay_s <= 0 else math.exp(-gap_s / self.decay_s)
        floor = math.log(LEAST_PROBABILITY)
        new = np.log(np.maximum(probabilities, LEAST_PROBABILITY))
        before = np.array([self._logs.get(name, floor) for name in names])
        logs = kept * before + (1 - kept) * new
        other = None
        if other_probability is not None:
            new_other = math.log(max(other_probability, LEAST_PROBABILITY))
            other = kept * (new_other if self._other is None else self._other) + (1 - kept) * new_other
        weights = np.exp([*logs, -math.inf if other is None else other])
        if not kept:  # nothing to average with: keep the answer itself, without the floor
            weights = np.array([*probabilities, other_probability or 0.0])
        weights /= weights.sum()
        smoothed = weights[:-1]

        best = int(smoothed.argmax())
        if self._best in names:
            present = names.index(self._best)
            if smoothed[best] < self.switch_ratio * smoothed[present]:
                best = present
        changed = names[best] != self._best
        self._stamp_ns, self._best, self._other = stamp_ns, names[best], other
        self._logs = dict(zip(names, logs.tolist(), strict=True))
        smoothed_other = None if other is None else float(weights[-1])
        return Smoothed(smoothed, smoothed_other, best, changed, bool(smoothed[best] >= self.threshold))

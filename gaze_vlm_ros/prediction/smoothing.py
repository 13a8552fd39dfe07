"""From one answer per window to one belief over time: smoothed, slow to change its mind, ready to abstain.

Windows that follow each other share most of their frames, so their answers are not independent evidence, and adding up
log-probabilities would make the sum far too certain. They are averaged instead, with weights that decay in time: a
logarithmic opinion pool (Genest and Zidek 1986), whose certainty stays that of one window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# One window that calls the truth impossible must not outweigh many others.
LEAST_PROBABILITY = 1e-4


@dataclass(frozen=True)
class Smoothed:
    """The belief after one more answer."""

    probabilities: NDArray[np.float64]  # (A,), with other_probability they sum to 1
    other_probability: float | None  # as it was given: None = unknown
    best: int  # index into probabilities; not always their maximum, see PredictionSmoother.switch_ratio
    changed: bool  # best is another text than before; True at the first answer
    certain: bool  # its probability reaches the threshold


class PredictionSmoother:
    """Answers come in with the stamps of their last frames; the fields may be changed between them."""

    def __init__(self, decay_s: float = 0.5, switch_ratio: float = 1.5, threshold: float = 0.0) -> None:
        """decay_s: after so long an answer weighs 1/e of a new one; 0 = no smoothing.
        switch_ratio: another answer must be so many times as probable as the present one to replace it; 1 = at once.
        threshold: least probability of the best for `certain`.
        """
        self.decay_s, self.switch_ratio, self.threshold = decay_s, switch_ratio, threshold
        self.reset()

    def reset(self) -> None:
        """Forget all answers."""
        self._stamp_ns: int | None = None
        self._logs: dict[str | int, float] = {}  # mean log-probability of each answer
        self._other: float | None = None  # and of none of them
        self._best: str | int | None = None

    def update(
        self,
        stamp_ns: int,
        probabilities: NDArray[np.float64],
        other_probability: float | None = None,
        texts: tuple[str, ...] = (),
    ) -> Smoothed:
        """Take in the answer of one window.

        texts: (A,) what the probabilities belong to, where it is not the same from answer to answer.
        A stamp that is not newer than the one before is a clock that was set back, or a bag that began again: it
        starts anew. So does a gap after which nothing earlier counts (10 decay_s, and at least 1 s).
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
        if not kept:  # nothing to average with: the answer itself, without the floor
            weights = np.array([*probabilities, other_probability or 0.0])
        weights /= weights.sum()
        belief = weights[:-1]

        best = int(belief.argmax())
        if self._best in names:
            present = names.index(self._best)
            if belief[best] < self.switch_ratio * belief[present]:
                best = present
        changed = names[best] != self._best
        self._stamp_ns, self._best, self._other = stamp_ns, names[best], other
        self._logs = dict(zip(names, logs.tolist(), strict=True))
        other_belief = None if other is None else float(weights[-1])
        return Smoothed(belief, other_belief, best, changed, bool(belief[best] >= self.threshold))

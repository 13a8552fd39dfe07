"""Which answer is given: one threshold to begin with it, and a lower one to keep it, so that it does not flicker."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaze_vlm_ros.labels.answer_words import NOTHING


class TwoThresholds:
    """Gives an answer, or none, moment by moment; for several pairs of thresholds at a time."""

    def __init__(self, begin: ArrayLike, keep: ArrayLike) -> None:
        """begin, keep: (T,) pairs; keep is at most begin."""
        self.begin, self.keep = np.atleast_1d(np.asarray(begin, float)), np.atleast_1d(np.asarray(keep, float))
        self.reset()

    def reset(self) -> None:
        """Forget the present answers."""
        self._said = np.full(len(self.begin), NOTHING)

    def update(self, probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the answer of each pair, (T,), as an index into (A,) `probabilities` of the actions; NOTHING = none.

        A more probable action that reaches `begin` replaces the answer.
        """
        best = int(probabilities.argmax())
        own = np.where(self._said >= 0, probabilities[self._said], 0.0)
        kept = (self._said >= 0) & (own >= self.keep)
        begun = (probabilities[best] >= self.begin) & (~kept | (probabilities[best] > own))
        self._said = np.where(begun, best, np.where(kept, self._said, NOTHING))
        return self._said.copy()

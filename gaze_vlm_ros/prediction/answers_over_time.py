"""The belief and the answer of a stream checkpoint over time: its filter, then two thresholds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.labels.answer_words import NOTHING
from gaze_vlm_ros.prediction.belief import Belief, BeliefFilter
from gaze_vlm_ros.prediction.operating_points import NEVER, OperatingPoint
from gaze_vlm_ros.prediction.smoothing import Smoothed
from gaze_vlm_ros.prediction.stream_metadata import StreamMetadata
from gaze_vlm_ros.prediction.two_thresholds import TwoThresholds

DEFAULT_PRECISION = 0.9  # target of a node that was not given one


class AnswersOverTime:
    """Turns the answers of successive windows into what is published."""

    def __init__(self, stream: StreamMetadata, horizon_s: float, point: OperatingPoint) -> None:
        self._filter = BeliefFilter(stream.belief) if stream.belief else None
        self._horizon_s = horizon_s
        self.set_point(point)

    def set_point(self, point: OperatingPoint) -> None:
        """Use other thresholds from now on; the present answer is forgotten."""
        self.point = point
        self._rule = TwoThresholds([point.begin], [point.keep])
        self._best = NOTHING
        self._stamp_ns: int | None = None

    def update(self, stamp_ns: int, table: NDArray[np.float64], nothing: float) -> Smoothed:
        """Return the belief after one more answer, and whether its best action is given as the answer.

        table: (A, K) P(action, part of the horizon) of one window. A stamp that is not newer than the one before resets
        everything.
        """
        if self._stamp_ns is not None and stamp_ns <= self._stamp_ns:
            self._rule.reset()
            if self._filter:
                self._filter.reset()
        self._stamp_ns = stamp_ns
        belief = (
            self._filter.update(stamp_ns, table, nothing) if self._filter else single(table, nothing, self._horizon_s)
        )
        probabilities = belief.table.sum(axis=1)
        given = int(self._rule.update(probabilities)[0])
        best = given if given != NOTHING else int(probabilities.argmax())
        changed, self._best = best != self._best, best
        return Smoothed(probabilities, None, best, changed, given != NOTHING, belief)


def single(table: NDArray[np.float64], nothing: float, horizon_s: float) -> Belief:
    """Return the belief that one answer gives by itself; its mass is spread evenly over each part of the horizon."""
    parts = table.shape[1]
    begins = np.maximum(table.sum(axis=1, keepdims=True), 1e-300)
    shares, width_s = table / begins, horizon_s / parts
    reached = shares.cumsum(axis=1)
    rows = np.arange(len(table))
    points = []
    for share in (0.1, 0.9):
        part = (reached >= share - 1e-12).argmax(axis=1)
        inside = (share - (reached - shares)[rows, part]) / np.maximum(shares[rows, part], 1e-300)
        points.append((part + np.clip(inside, 0, 1)) * width_s)
    return Belief(table, nothing, shares @ ((np.arange(parts) + 0.5) * width_s), *points)


def chosen_point(stream: StreamMetadata, threshold: float, target_precision: float) -> OperatingPoint:
    """Return the thresholds to use: those given, or the checkpoint's own.

    threshold: least probability of the best action; 0 = not given. target_precision: take the checkpoint's thresholds
    for the next higher target; 0 = not given: those for DEFAULT_PRECISION. Where no probability reached the target, no
    answer is given; where nothing was measured, an action that is more probable than everything else.
    """
    points = sorted(stream.operating_points, key=lambda point: point.target_precision)
    if threshold and not target_precision:
        return OperatingPoint(0.0, threshold, threshold, 0.0, 0.0)
    target = target_precision or DEFAULT_PRECISION
    least = NEVER if points else 0.5
    unmeasured = OperatingPoint(target, least, least, 0.0, 0.0)
    own = next((point for point in points if point.target_precision >= target), unmeasured)
    return replace(own, begin=max(threshold, own.begin), keep=max(threshold, own.keep))


def point_text(point: OperatingPoint) -> str:
    """Return an operating point in words, and how far it can be trusted."""
    if point.begin >= NEVER:
        return f"gives no answer: no probability reached target_precision {point.target_precision:g} in calibration"
    text = f"begins an answer at a probability of {point.begin:.2f} and keeps it to {point.keep:.2f}"
    if not point.sessions:
        return text
    trust = "certified" if point.is_certified else "uncertified"
    on = f"on {point.sessions} calibration sessions"
    if point.persons:
        on += f" by thresholds that others of {point.persons} persons chose"
    return f"{text} (precision {point.precision:.2f} {on}, {trust})"

"""Estimate drift and steps of the clock that stamps messages, from the delay between acquisition and arrival."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import theilslopes

Floats = NDArray[np.float64]

MIN_SPAN_S = 20.0  # 100 ppm of a crystal make 2 ms in that time; in less, drift drowns in network jitter
STEP_S = 0.02  # a busy machine causes smaller ones too
_BINS = 200
_MIN_BIN_S, _MIN_BIN_COUNT = 0.5, 4  # so that each bin has a message that no queue delayed
_BESIDE = 4  # bins on each side of a step: a backlog that clears sooner is no step


@dataclass(frozen=True)
class DelayTrend:
    """Trend of the delay, arrival - acquisition. It grows where the stamps' clock is slower than the recorder's."""

    median_s: float
    lowest_s: float  # below 0: stamped with a future time
    span_s: float  # of arrivals
    drift_ppm: float | None  # robust slope, steps removed; None = recording too short
    drift_low_ppm: float  # 95 % interval; NaN without drift_ppm
    drift_high_ppm: float
    steps: list[tuple[int, float]]  # (arrival ns, lasting change of the delay in s)

    @property
    def drift_s(self) -> float:
        """Divergence of the clocks over the span, s; 0 where the drift is not known or its interval includes 0."""
        if self.drift_ppm is None or self.drift_low_ppm <= 0 <= self.drift_high_ppm:
            return 0.0
        return self.drift_ppm * 1e-6 * self.span_s


def delay_trend(stamps_ns: NDArray[np.int64], arrivals_ns: NDArray[np.int64]) -> DelayTrend:
    """Return the trend of the delay.

    stamps_ns, arrivals_ns: (N,) acquisition and arrival of each message, N > 0, in the order of arrival.
    """
    delays_s = (arrivals_ns - stamps_ns) / 1e9
    times_s = (arrivals_ns - arrivals_ns[0]) / 1e9
    span_s = float(times_s[-1])
    known = {"median_s": float(np.median(delays_s)), "lowest_s": float(delays_s.min()), "span_s": span_s}
    bins, at_s = _fastest(times_s, delays_s)
    if span_s < MIN_SPAN_S or len(bins) < 4 * _BESIDE:
        return DelayTrend(**known, drift_ppm=None, drift_low_ppm=np.nan, drift_high_ppm=np.nan, steps=[])
    far = len(bins) // 8
    # Slope between bins an eighth apart: a step affects few of these pairs, so their median ignores it.
    steady = float(np.median((bins[far:] - bins[:-far]) / (at_s[far:] - at_s[:-far])))
    steps = _steps(bins - steady * at_s)
    for row, size_s in steps:
        bins[row:] -= size_s
    slope, _, low, high = theilslopes(bins, at_s)
    return DelayTrend(
        **known,
        drift_ppm=float(slope) * 1e6,
        drift_low_ppm=float(low) * 1e6,
        drift_high_ppm=float(high) * 1e6,
        steps=[(int(arrivals_ns[0]) + round(float(at_s[row]) * 1e9), size_s) for row, size_s in steps],
    )


def _fastest(times_s: Floats, delays_s: Floats) -> tuple[Floats, Floats]:
    """Return (B,) the 10th percentile of the delay in each bin, which queues do not affect, and (B,) its time."""
    span_s = float(times_s[-1])
    if span_s <= 0:
        return np.empty(0), np.empty(0)
    width_s = max(_MIN_BIN_S, span_s / _BINS, 2 * _MIN_BIN_COUNT * span_s / len(times_s))
    edges = np.searchsorted(times_s, np.arange(0.0, span_s, width_s))
    parts = [rows for rows in np.split(np.arange(len(times_s)), edges[1:]) if len(rows) >= _MIN_BIN_COUNT]
    lowest = np.array([np.quantile(delays_s[rows], 0.1) for rows in parts])
    return lowest, np.array([times_s[rows].mean() for rows in parts])


def _steps(level_s: Floats) -> list[tuple[int, float]]:
    """Return (row, size s) of each change of the level by more than STEP_S between the rows before and after."""
    rows = np.arange(_BESIDE, len(level_s) - _BESIDE + 1)
    before = np.array([np.median(level_s[row - _BESIDE : row]) for row in rows])
    after = np.array([np.median(level_s[row : row + _BESIDE]) for row in rows])
    jumps = after - before
    noise = float(np.median(np.abs(np.diff(level_s))))
    found: list[tuple[int, float]] = []
    for index in np.argsort(-np.abs(jumps)):
        size_s = float(jumps[index])
        if abs(size_s) < max(STEP_S, 10 * noise):
            break
        if all(abs(int(rows[index]) - row) > _BESIDE for row, _ in found):
            found.append((_sharpest(level_s, int(rows[index])), size_s))
    return sorted(found)


def _sharpest(level_s: Floats, row: int) -> int:
    """Return the row near `row` where two neighbours differ most: medians blur the edge by a row or two."""
    first = max(1, row - _BESIDE // 2)
    near = np.abs(np.diff(level_s[first - 1 : row + _BESIDE // 2 + 1]))
    return first + int(np.argmax(near))

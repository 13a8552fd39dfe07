"""Frames that came when they came, on the constant rate that a format wants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Grid:
    """A constant frame rate laid over a recording: at `times_ns[row]` frame number `frame[row]` is shown."""

    times_ns: NDArray[np.int64]  # (N,) exactly 1 / fps apart, up to rounding to ns
    frame: NDArray[np.int64]  # (N,) the newest frame at or before that time


def usual_rate_hz(stamps_ns: NDArray[np.int64]) -> float:
    """Frames a second by the median interval of ascending stamps (N,); 0 where there are fewer than two."""
    return 1e9 / float(np.median(np.diff(stamps_ns))) if len(stamps_ns) > 1 else 0.0


def lay_grid(stamps_ns: NDArray[np.int64], fps: int) -> Grid:
    """A grid of `fps` times a second over frames of ascending stamps (M,), M > 0.

    It begins half a period after the first frame, and ends when the last one is shown: a camera whose frames come less
    than half a period early or late then loses none and shows none twice. Nothing is shown before it was taken.
    """
    begin_ns = int(stamps_ns[0]) + 500_000_000 // fps
    count = 1 - (begin_ns - int(stamps_ns[-1])) * fps // 1_000_000_000
    # Integers: at 1e18 ns a float64 is off by up to 128 ns.
    times_ns = begin_ns + np.arange(count, dtype=np.int64) * 1_000_000_000 // fps
    return Grid(times_ns, np.searchsorted(stamps_ns, times_ns, side="right") - 1)

"""A constant frame rate for a recording whose frames arrived at irregular times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Grid:
    """Times at a constant rate, and the frame to show at each."""

    times_ns: NDArray[np.int64]  # (N,) exactly 1 / fps apart, up to rounding to ns
    frame: NDArray[np.int64]  # (N,) the newest frame at or before that time


def typical_rate_hz(stamps_ns: NDArray[np.int64]) -> float:
    """Return the frame rate from the median interval of ascending stamps (N,); 0 for fewer than two."""
    return 1e9 / float(np.median(np.diff(stamps_ns))) if len(stamps_ns) > 1 else 0.0


def lay_grid(stamps_ns: NDArray[np.int64], fps: int) -> Grid:
    """Return a grid with `fps` times per second for frames with ascending stamps (M,), M > 0.

    The grid starts half a period after the first frame and ends once the last one is shown. A camera whose frames come
    less than half a period early or late then loses no frame and repeats none. No frame is shown before it was taken.
    """
    begin_ns = int(stamps_ns[0]) + 500_000_000 // fps
    count = 1 - (begin_ns - int(stamps_ns[-1])) * fps // 1_000_000_000
    # Integer arithmetic: at 1e18 ns, a float64 is off by up to 128 ns.
    times_ns = begin_ns + np.arange(count, dtype=np.int64) * 1_000_000_000 // fps
    return Grid(times_ns, np.searchsorted(stamps_ns, times_ns, side="right") - 1)

"""Eye events: fixations, saccades and blinks, given as intervals, as the eye state of each gaze sample."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Constants of gaze_vlm_msgs/GazeStamped.
WORN_UNKNOWN, WORN_NO, WORN_YES = 0, 1, 2
EYE_UNKNOWN, EYE_FIXATION, EYE_SACCADE, EYE_BLINK = 0, 1, 2, 3


class Intervals(NamedTuple):
    """Closed time intervals, in any order; they may overlap."""

    starts_ns: NDArray[np.int64]  # (M,)
    ends_ns: NDArray[np.int64]  # (M,)


def inside(stamps_ns: NDArray[np.int64], intervals: Intervals) -> NDArray[np.bool_]:
    """Return a mask (N,) of the ascending stamps that lie in any interval."""
    open_count = np.zeros(len(stamps_ns) + 1, np.int64)
    np.add.at(open_count, np.searchsorted(stamps_ns, intervals.starts_ns, side="left"), 1)
    np.add.at(open_count, np.searchsorted(stamps_ns, intervals.ends_ns, side="right"), -1)
    return np.cumsum(open_count)[:-1] > 0


def eye_states(
    stamps_ns: NDArray[np.int64], fixations: Intervals | None, saccades: Intervals | None, blinks: Intervals | None
) -> NDArray[np.uint8]:
    """Return the eye_state (N,) of ascending stamps, as in GazeStamped. None = such events were not recorded.

    Stamps outside all intervals are unknown. A blink overrides a saccade, and a saccade a fixation.
    """
    states = np.full(len(stamps_ns), EYE_UNKNOWN, np.uint8)
    for state, intervals in ((EYE_FIXATION, fixations), (EYE_SACCADE, saccades), (EYE_BLINK, blinks)):
        if intervals is not None:
            states[inside(stamps_ns, intervals)] = state
    return states

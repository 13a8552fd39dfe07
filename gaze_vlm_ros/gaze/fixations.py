"""Find fixations in gaze samples, for trackers that do not say when the eye moves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.gaze.distribution import SACCADE
from gaze_vlm_ros.session.gaze_track import GazeTrack

UNKNOWN, FIXATION = 0, 1  # gaze_vlm_msgs/GazeStamped, as SACCADE
# I-DT's two parameters (Salvucci and Goldberg 2000). A head camera's picture moves under a steady gaze, so the
# dispersion is above the 1 degree that suits a screen; 100 ms is the shortest fixation that they let count.
MAX_DISPERSION = 0.03  # share of the picture's width: 2.4 degrees of a view 80 degrees wide
MIN_DURATION_S = 0.1
LONGEST_GAP_NS = 75_000_000  # between two samples of one fixation


def fixating(
    stamps_ns: NDArray[np.int64], xy: NDArray[np.float64], max_dispersion_px: float, min_duration_s: float
) -> NDArray[np.bool_]:
    """Return (N,) which samples belong to a fixation, by dispersion threshold (I-DT, Salvucci and Goldberg 2000).

    A fixation is a run of samples that lasts min_duration_s or more, in which (max x - min x) + (max y - min y) stays
    within max_dispersion_px. A sample without an estimate and a gap in time end a run.

    stamps_ns: (N,) ascending. xy: (N, 2) px, NaN = no estimate.
    """
    found = np.zeros(len(xy), np.bool_)
    known: NDArray[np.bool_] = np.isfinite(xy.sum(axis=1))
    breaks = ~known[1:] | ~known[:-1] | (np.diff(stamps_ns) > LONGEST_GAP_NS)
    for run in np.split(np.arange(len(xy)), np.flatnonzero(breaks) + 1):
        if known[run[:1]].all():
            _mark(found, run, stamps_ns, xy, max_dispersion_px, round(min_duration_s * 1e9))
    return found


def _mark(
    found: NDArray[np.bool_],
    run: NDArray[np.int64],
    stamps_ns: NDArray[np.int64],
    xy: NDArray[np.float64],
    dispersion: float,
    duration_ns: int,
) -> None:
    """Mark the fixations of one run of samples without a break."""
    points, times = xy[run], stamps_ns[run]
    first = 0
    while first < len(run):
        last = int(np.searchsorted(times, times[first] + duration_ns))  # the first sample that completes the duration
        if last >= len(run):
            return
        low, high = points[first : last + 1].min(axis=0), points[first : last + 1].max(axis=0)
        if (high - low).sum() > dispersion:
            first += 1
            continue
        while last + 1 < len(run):
            lower, higher = np.minimum(low, points[last + 1]), np.maximum(high, points[last + 1])
            if (higher - lower).sum() > dispersion:
                break
            low, high, last = lower, higher, last + 1
        found[run[first : last + 1]] = True
        first = last + 1


def with_fixations(gaze: GazeTrack, frame_size: tuple[int, int]) -> GazeTrack:
    """Return the track with the eye's state filled in where the tracker gives none: fixation, or else saccade.

    frame_size: (width, height) px that gaze refers to if the track has no image size. Samples whose state is known keep
    it; so does every sample of a tracker that gives states.
    """
    unknown = gaze.eye_state == UNKNOWN
    if not unknown.any():
        return gaze
    width = gaze.image_size[0] or frame_size[0]
    fixed = fixating(gaze.stamps_ns, gaze.xy, MAX_DISPERSION * width, MIN_DURATION_S)
    state = np.where(unknown, np.where(fixed, FIXATION, SACCADE), gaze.eye_state).astype(np.uint8)
    return replace(gaze, eye_state=state)

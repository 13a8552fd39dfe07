"""Diameter of the pupils, relative to the wearer's own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.session.gaze_track import GazeTrack

Floats = NDArray[np.float64]


def pupil_change(gaze: GazeTrack, baseline_mm: float) -> Floats:
    """Return (N,) the pupil's diameter of each sample relative to the wearer's own, 0.1 = 10 % wider; NaN = unknown.

    Baseline correction by division (Mathot et al. 2018, Safe and sensible preprocessing and baseline correction of
    pupil-size data, Behav. Res. 50:94-106). Light changes pupils more than thought does: compare under one light only.
    baseline_mm: median of the same wearer in a normal session (pupil_baseline_mm).
    """
    return pupil_mm(gaze) / baseline_mm - 1


def pupil_baseline_mm(gaze: GazeTrack) -> float:
    """Return the median diameter of a track's pupils, mm; NaN where none is recorded."""
    diameters = pupil_mm(gaze)
    return float(np.nanmedian(diameters)) if np.isfinite(diameters).any() else float("nan")


def pupil_mm(gaze: GazeTrack) -> Floats:
    """Return (N,) the mean diameter of the pupils that are known, mm; NaN = neither is."""
    if gaze.pupils_mm is None:
        return np.full(len(gaze), np.nan)
    known: NDArray[np.bool_] = gaze.pupils_mm > 0  # 0 and NaN: unknown, as in GazeStamped
    total = np.where(known, gaze.pupils_mm, 0.0).sum(axis=1)
    count = known.sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)

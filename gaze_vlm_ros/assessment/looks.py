"""Fixations and saccades of a gaze track, and their statistics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.gaze.distribution import BLINK, WORN_NO
from gaze_vlm_ros.gaze.fixations import FIXATION, LONGEST_GAP_NS, with_fixations
from gaze_vlm_ros.session.gaze_track import GazeTrack

Floats = NDArray[np.float64]
Stamps = NDArray[np.int64]


@dataclass(frozen=True)
class Looks:
    """Fixations in the order of time."""

    starts_ns: Stamps  # (F,) stamp of the first sample
    ends_ns: Stamps  # (F,) stamp of the last sample
    xy: Floats  # (F, 2) px, median of the samples, in the image that the track refers to

    def __len__(self) -> int:
        return len(self.starts_ns)

    @property
    def durations_s(self) -> Floats:
        """(F,) from the first sample to the last, s."""
        return (self.ends_ns - self.starts_ns) / 1e9


@dataclass(frozen=True)
class LookStatistics:
    """How the eyes move. NaN where there is nothing to take it from."""

    fixations_per_s: float  # of the time with samples: gaps of more than LONGEST_GAP_NS are left out
    fixation_s: float  # median duration of a fixation
    saccade_width: float  # median distance between the places of two fixations that follow each other, picture widths
    blinks_per_s: float
    tracked: float  # share of the samples with an estimate on a head


def looks_of(gaze: GazeTrack, frame_size: tuple[int, int], min_confidence: float = 0.6) -> Looks:
    """Return the fixations of a track: the tracker's own states, or else by dispersion (gaze.fixations).

    A fixation ends at a sample of another state, without an estimate, off the head or below min_confidence (0.6, as in
    gaze.aggregate), and at a gap of more than LONGEST_GAP_NS.
    frame_size: (width, height) px, for a track without an image size.
    """
    track = with_fixations(gaze, frame_size)
    with np.errstate(invalid="ignore"):
        fixed = (
            (track.eye_state == FIXATION)
            & (track.worn != WORN_NO)
            & ~(track.confidence < min_confidence)
            & np.isfinite(track.xy).all(axis=1)
        )
    rows = np.flatnonzero(fixed)
    breaks = (np.diff(rows) > 1) | (np.diff(track.stamps_ns[rows]) > LONGEST_GAP_NS)
    runs = [run for run in np.split(rows, np.flatnonzero(breaks) + 1) if len(run)]
    return Looks(
        np.array([track.stamps_ns[run[0]] for run in runs], np.int64),
        np.array([track.stamps_ns[run[-1]] for run in runs], np.int64),
        np.array([np.median(track.xy[run], axis=0) for run in runs]).reshape(-1, 2),
    )


def look_statistics(gaze: GazeTrack, looks: Looks, width_px: float) -> LookStatistics:
    """Return how the eyes of one track move (measures as in Holmqvist et al. 2011, Eye tracking, chapters 10 to 12).

    The distance between fixations that follow each other without a loss stands for the saccade's amplitude.
    width_px: of the image that gaze refers to. With other looks than those of the track the result means nothing.
    """
    steps_ns = np.diff(gaze.stamps_ns)
    span_s = float(steps_ns[steps_ns <= LONGEST_GAP_NS].sum()) / 1e9
    blink = gaze.eye_state == BLINK
    begins = int((blink[1:] & ~blink[:-1]).sum()) + int(blink[:1].sum())
    steps = np.hypot(*np.diff(looks.xy, axis=0).T) / width_px if len(looks) > 1 else np.empty(0)
    seen = np.isfinite(gaze.xy).all(axis=1) & (gaze.worn != WORN_NO)
    return LookStatistics(
        len(looks) / span_s if span_s else np.nan,
        float(np.median(looks.durations_s)) if len(looks) else np.nan,
        float(np.median(steps)) if len(steps) else np.nan,
        begins / span_s if span_s else np.nan,
        float(seen.mean()) if len(gaze) else np.nan,
    )

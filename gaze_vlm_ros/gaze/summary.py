"""Count the usable samples of a gaze track, and the others by reason."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.gaze.validity import MOVING_EYE, sample_faults
from gaze_vlm_ros.session.gaze_track import GazeTrack

MIN_CONFIDENCE = 0.6  # as in gaze.aggregate, so that the counts are of the samples that training uses


@dataclass(frozen=True)
class GazeSummary:
    """Gaze samples, as `gaze.aggregate` would use them. One sample can fail for several reasons."""

    samples: int
    valid: int
    not_worn: int
    unsure: int  # confidence below MIN_CONFIDENCE
    off_image: int  # or no estimate at all
    blink_or_saccade: int
    no_estimate: int  # of those off the image, the ones whose x or y is NaN or infinite


def gaze_summary(
    gaze: GazeTrack, image_size: tuple[int, int] | None, min_confidence: float = MIN_CONFIDENCE
) -> GazeSummary:
    """Count the samples that training would use.

    image_size: (width, height) px of the camera image, for a track without its own image size; None = unknown.
    """
    faults = sample_faults(gaze, image_size, min_confidence)
    return GazeSummary(
        samples=len(gaze),
        valid=_count(~np.logical_or.reduce(list(faults.values()))),
        not_worn=_count(faults["not worn"]),
        unsure=_count(faults["unsure"]),
        off_image=_count(faults["off the image"] | faults["no estimate"]),
        no_estimate=_count(faults["no estimate"]),
        blink_or_saccade=_count(faults[MOVING_EYE]),
    )


def _count(mask: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))

"""How much of a gaze track is usable, and why the rest is not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.gaze.distribution import BLINK, SACCADE, WORN_NO
from gaze_vlm_ros.session.gaze_track import GazeTrack

MIN_CONFIDENCE = 0.6  # as gaze.aggregate, so that the share is that of the samples which a trainer would use


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

    image_size: (width, height) px of the camera image, for a track that does not name its own; None = unknown.
    """
    size = gaze.image_size if gaze.image_size[0] else image_size or (math.inf, math.inf)
    with np.errstate(invalid="ignore"):
        on_image = np.all((gaze.xy >= 0) & (gaze.xy < size), axis=1)
        unsure = gaze.confidence < min_confidence  # NaN, not given, is not unsure
    not_worn = gaze.worn == WORN_NO
    unsteady = np.isin(gaze.eye_state, (SACCADE, BLINK))
    return GazeSummary(
        samples=len(gaze),
        valid=_count(on_image & ~unsure & ~not_worn & ~unsteady),
        not_worn=_count(not_worn),
        unsure=_count(unsure),
        off_image=_count(~on_image),
        no_estimate=int(np.count_nonzero(~np.isfinite(gaze.xy).all(axis=1))),
        blink_or_saccade=_count(unsteady),
    )


def _count(mask: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))

"""Decide which gaze samples count for training, and why others do not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.gaze.distribution import BLINK, SACCADE, WORN_NO
from gaze_vlm_ros.session.gaze_track import GazeTrack

LOST_TO_THE_TRACKER = ("not worn", "unsure", "off the image", "no estimate")
MOVING_EYE = "blink or saccade"


def sample_faults(
    gaze: GazeTrack, frame_size: tuple[int, int] | None, min_confidence: float = 0.6
) -> dict[str, NDArray[np.bool_]]:
    """Return (N,) masks by reason. gaze.aggregate takes the samples without any fault; one sample can have several.

    frame_size: (width, height) px that gaze refers to if the track has no image size; None = no bounds are known.
    min_confidence: as in gaze.aggregate.
    """
    size = gaze.image_size if gaze.image_size[0] else frame_size or (np.inf, np.inf)
    known = np.isfinite(gaze.xy).all(axis=1)
    with np.errstate(invalid="ignore"):
        return {
            "not worn": gaze.worn == WORN_NO,
            "unsure": gaze.confidence < min_confidence,  # NaN, not given, is not unsure
            "off the image": known & ~np.all((gaze.xy >= 0) & (gaze.xy < size), axis=1),
            "no estimate": ~known,
            MOVING_EYE: np.isin(gaze.eye_state, (SACCADE, BLINK)),
        }


def usable_samples(
    gaze: GazeTrack, frame_size: tuple[int, int] | None, min_confidence: float = 0.6
) -> NDArray[np.bool_]:
    """Return (N,) which samples have none of `sample_faults`."""
    return ~np.logical_or.reduce(list(sample_faults(gaze, frame_size, min_confidence).values()))

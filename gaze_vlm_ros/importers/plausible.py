"""Gaze that cannot be what its format says: another unit, another image, placeholders for no sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError

# Eyes look past the camera's view now and then. Half of the time they do not: the unit or the image is another one.
MOST_OFF_PICTURE = 0.5
_FEWEST = 20  # points that say something
NO_SAMPLE = "gaze samples that are placeholders for none"


class WrongUnit(GazeVlmError):
    """The gaze is not in the unit, or not on the image, that the format says."""


def require_on_picture(xy: NDArray[np.float64], size: tuple[int, int], path: Path) -> None:
    """Raise WrongUnit where gaze cannot be in px of a picture of `size` (width, height).

    xy: (N, 2) px, NaN = no sample. Refused are points of which most lie off the picture, and points that all lie
    within its first 2 px: these are shares of the picture.
    """
    points = xy[np.isfinite(xy).all(axis=1)]
    if len(points) < _FEWEST:
        return
    low, high = points.min(axis=0), points.max(axis=0)
    found = f"{path}: gaze runs from ({low[0]:g}, {low[1]:g}) to ({high[0]:g}, {high[1]:g}) px"
    if (np.abs(points) <= 2).all():
        raise WrongUnit(f"{found} of a {size[0]}x{size[1]} picture, which is its corner: it may be in shares of it")
    off = ~((points >= 0) & (points < size)).all(axis=1)
    if off.mean() > MOST_OFF_PICTURE:
        raise WrongUnit(
            f"{found}, and {off.mean():.0%} of it is off the {size[0]}x{size[1]} picture: it is in another unit, of "
            "another image, or of another recording"
        )


def without_placeholders(
    points: NDArray[np.float64], places: Sequence[tuple[float, float]], left_out: Counter[str]
) -> NDArray[np.float64]:
    """Return points (N, 2) with NaN where they are exactly one of the places by which a format says "no sample"."""
    empty = np.zeros(len(points), np.bool_)
    for place in places:
        empty |= (points == np.array(place)).all(axis=1)
    left_out[NO_SAMPLE] += int(empty.sum())
    return np.where(empty[:, None], np.nan, points)

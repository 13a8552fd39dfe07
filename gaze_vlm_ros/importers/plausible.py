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


# Measured samples are equal now and then where they are rounded to whole px, and never so often.
MOST_REPEATED = 0.3


class HeldSamples(GazeVlmError):
    """Gaze of a lower rate was repeated."""


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


def repeats_of_previous(xy: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N,) which samples are exactly equal to the one before: noise never is. xy: (N, 2); NaN is equal to nothing."""
    same = np.zeros(len(xy), np.bool_)
    same[1:] = (xy[1:] == xy[:-1]).all(axis=1)
    return same


def distinct_samples(xy: NDArray[np.float64], repeats: str, path: Path, left_out: Counter[str]) -> NDArray[np.bool_]:
    """Return a mask (N,) of the samples to keep, where a sample may only repeat the one before.

    repeats: refuse (raises HeldSamples if they are more than MOST_REPEATED), drop or keep them.
    """
    same = repeats_of_previous(xy)
    share = same.sum() / max(np.isfinite(xy).all(axis=1).sum(), 1)
    if repeats == "refuse" and len(xy) >= _FEWEST and share > MOST_REPEATED:
        raise HeldSamples(
            f"{path}: {share:.0%} of the gaze samples are exactly equal to the one before: slower gaze was repeated to "
            "fill frames; give the tracker's own samples, or leave out the repeats (repeats: drop)"
        )
    if repeats != "drop":
        return np.ones(len(xy), np.bool_)
    left_out["gaze samples that repeat the one before"] += int(same.sum())
    return ~same

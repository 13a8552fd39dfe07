"""How far away the lines of sight of both eyes cross. Pure.

The glasses give the optical axes, which lie some degrees beside the lines of sight, differently from eye to eye: a
distance from them is rough, and more so the farther away.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_PARALLEL = 1e-9  # squared sine of the angle between the lines; nothing crosses below 0.002 degrees


def crossing_distance(
    left_centre: ArrayLike, left_axis: ArrayLike, right_centre: ArrayLike, right_axis: ArrayLike
) -> NDArray[np.float64]:
    """Return the distance (N,) of the crossing from the middle between the eyes, in the unit of the centres.

    centres: (N, 3) of the eyeballs. axes: (N, 3) of any length. Lines in space pass each other: the crossing is the
    middle of the shortest way between both. NaN where they are parallel or part, and where a value is no number.
    """
    left, u, right, v = (
        np.atleast_2d(np.asarray(part, np.float64)) for part in (left_centre, left_axis, right_centre, right_axis)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        u, v = (axis / np.linalg.norm(axis, axis=1, keepdims=True) for axis in (u, v))
        between = left - right
        cosine, along_u, along_v = (np.sum(a * b, axis=1) for a, b in ((u, v), (u, between), (v, between)))
        squared_sine = 1 - cosine**2
        on_left = (cosine * along_v - along_u) / squared_sine
        on_right = (along_v - cosine * along_u) / squared_sine
        crossing = (left + on_left[:, None] * u + right + on_right[:, None] * v) / 2
        distance = np.linalg.norm(crossing - (left + right) / 2, axis=1)
        crosses = (squared_sine > _PARALLEL) & (on_left > 0) & (on_right > 0)
    return np.asarray(np.where(crosses, distance, np.nan))

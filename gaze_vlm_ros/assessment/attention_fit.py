"""How well gaze fits the model's attention: surprise of a fixation, and normalized scanpath saliency.

An attention map is (rows, columns), row 0 at the top, and sums to 1, as prediction.attention_map and the predictor's
topic `attention` give it. Points are px of the frame that the map covers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Half the side of the square whose mass counts, as a share of the frame's width: 2 degrees of a view 80 degrees wide,
# the fovea's reach and a tracker's error together.
REACH = 0.025
# The least mass that counts. A model gives 0 to places that people look at all the same, and one look at such a place
# must not outweigh a session: ten times below the mass of REACH on an even map.
LEAST_MASS = 2.5e-4


def mass_near(points: Floats, attention: Floats, size: tuple[int, int], reach: float = REACH) -> Floats:
    """Return (N,) the attention in the square around each point that reaches `reach` widths to each side; NaN = none.

    Attention is even within a cell, so the mass is exact: the share of each cell's area that the square covers. The
    part of a square off the frame has none. points: (N, 2) px. size: (width, height) px of the frame.
    """
    rows, columns = attention.shape
    width, height = size
    half = reach * width
    across = _covered(points[:, 0], half, np.linspace(0, width, columns + 1))
    down = _covered(points[:, 1], half, np.linspace(0, height, rows + 1))
    return np.asarray(np.einsum("nr,rc,nc->n", down, np.asarray(attention, float), across))


def _covered(centres: Floats, half: float, edges: Floats) -> Floats:
    """Return (N, cells) the share of each cell, between edges (cells + 1,), within `half` of each centre."""
    low = np.maximum(centres[:, None] - half, edges[:-1])
    high = np.minimum(centres[:, None] + half, edges[1:])
    return np.maximum(high - low, 0.0) / np.diff(edges)


def surprise(points: Floats, attention: Floats, size: tuple[int, int], reach: float = REACH) -> Floats:
    """Return (N,) the surprise of looking at each point, in nats: the negative logarithm of the mass near it.

    Self-information of a fixation under a map (Bruce and Tsotsos 2009, Saliency, attention, and visual search, J.
    Vision 9(3):5; as a score of fixations: Kuemmerer, Wallis and Bethge 2015, PNAS 112(52):16054-16059). The mass is at
    least LEAST_MASS. NaN points have NaN.
    """
    mass = mass_near(points, attention, size, reach)
    return np.asarray(np.where(np.isfinite(mass), -np.log(np.maximum(mass, LEAST_MASS)), np.nan))


def scanpath_saliency(points: Floats, attention: Floats, size: tuple[int, int]) -> Floats:
    """Return (N,) the map's value at each point in standard deviations above its mean (NSS).

    Peters, Iyer, Itti and Koch 2005, Components of bottom-up gaze allocation in natural images, Vision Research
    45(18):2397-2416. 0 = no better than chance. NaN for a point that is NaN or off the frame, and for an even map.
    """
    rows, columns = attention.shape
    values = np.asarray(attention, float)
    with np.errstate(invalid="ignore"):
        inside = (points >= 0).all(axis=1) & (points < size).all(axis=1)
    found = np.full(len(points), np.nan)
    deviation = values.std()
    if deviation <= 1e-12 * max(1e-300, float(np.abs(values).max())):
        return found
    cells = (points[inside] / size * (columns, rows)).astype(int)
    found[inside] = (values[cells[:, 1], cells[:, 0]] - values.mean()) / deviation
    return found


def within_half(points: Floats, attention: Floats, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return (N,) whether each point is in the smallest set of cells that holds half of the attention.

    Half: a set that every map has, however sharp it is. Cells with as much as the last one needed are in it too, so an
    even map has all of them. A point that is NaN or off the frame is not in it.
    """
    rows, columns = attention.shape
    values = np.asarray(attention, float)
    falling = np.sort(values, axis=None)[::-1]
    least = falling[np.searchsorted(np.cumsum(falling), 0.5 * falling.sum())]
    chosen = values >= least
    with np.errstate(invalid="ignore"):
        inside = (points >= 0).all(axis=1) & (points < size).all(axis=1)
    found = np.zeros(len(points), bool)
    cells = (points[inside] / size * (columns, rows)).astype(int)
    found[inside] = chosen[cells[:, 1], cells[:, 0]]
    return found


def percentile(values: Floats, normal: Floats) -> Floats:
    """Return (N,) the share of `normal` below each value, 0 to 1; equal ones count half. NaN stays NaN.

    values: (N,). normal: (M,) of normal sessions, NaN left out. Raises ValueError where none is left.
    """
    known = np.sort(normal[np.isfinite(normal)])
    if not len(known):
        raise ValueError("no normal value is known, expected at least 1")
    below, up_to = np.searchsorted(known, values, side="left"), np.searchsorted(known, values, side="right")
    return np.where(np.isfinite(values), (below + up_to) / (2 * len(known)), np.nan)

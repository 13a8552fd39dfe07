"""Entropy of gaze over areas of the picture: how widely it spreads, and how little its next place is foreseen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]

# Columns and rows of the areas where nothing names things in the picture: cells as wide as a work place's things, and
# few enough that a window of seconds has several looks at the same.
GRID = (4, 3)


def areas_of(points: Floats, size: tuple[int, int], grid: tuple[int, int] = GRID) -> Indices:
    """Return (N,) the cell of an even grid (columns, rows) that each point is in, row by row; -1 off the picture.

    points: (N, 2) px. size: (width, height) px.
    """
    with np.errstate(invalid="ignore"):
        inside = (points >= 0).all(axis=1) & (points < size).all(axis=1)
    found = np.full(len(points), -1, np.int64)
    cells = (points[inside] / size * grid).astype(np.int64)
    found[inside] = cells[:, 1] * grid[0] + cells[:, 0]
    return found


def stationary_entropy(areas: Indices, weights: Floats | None = None) -> float:
    """Return the entropy of gaze over areas in bits: 0 = all on one; log2 of the number of areas = evenly on all.

    Krejtz et al. 2015, Gaze transition entropy, ACM Trans. Applied Perception 13(1):4, with the shares of looks (or of
    `weights`, such as their durations) as the distribution, as Shiferaw, Downey and Crewther 2019 (Neurosci. Biobehav.
    Rev. 96:353-366) do. areas: (N,) of each look in order, -1 = none and left out. NaN without any.
    """
    known = areas >= 0
    counts = np.bincount(areas[known], None if weights is None else weights[known])
    return _entropy(counts)


def transition_entropy(areas: Indices) -> float:
    """Return the entropy of the next area given the one before, in bits: 0 = each area is always left the same way.

    The entropy of each row of the matrix of transitions, weighed by the share of transitions from that area (Krejtz et
    al. 2015; a look at the same area as before counts as a transition). areas: (N,) of each look in order; -1 = none,
    and nothing passes over it. NaN without any transition.
    """
    before, after = areas[:-1], areas[1:]
    known = (before >= 0) & (after >= 0)
    if not known.any():
        return float("nan")
    size = int(areas.max()) + 1
    counts = np.bincount(before[known] * size + after[known], minlength=size * size).reshape(size, size)
    leaving = counts.sum(axis=1)
    return float(sum(n * _entropy(row) for n, row in zip(leaving, counts, strict=True) if n) / leaving.sum())


def _entropy(counts: NDArray[np.float64] | Indices) -> float:
    total = counts.sum()
    if not total:
        return float("nan")
    shares = counts[counts > 0] / total
    return float(max(0.0, -(shares * np.log2(shares)).sum()))

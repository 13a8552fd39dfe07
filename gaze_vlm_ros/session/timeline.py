"""Pair two streams by their acquisition times."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def nearest(stamps_ns: ArrayLike, query_ns: ArrayLike, tolerance_ns: int) -> NDArray[np.int64]:
    """Return (M,) the index of the stamp nearest to each query, -1 if none is within `tolerance_ns` (inclusive).

    stamps_ns: (N,) ascending. query_ns: (M,). The earlier of two equally near stamps is taken.
    """
    stamps, queries = np.asarray(stamps_ns, np.int64), np.asarray(query_ns, np.int64)
    if not len(stamps):
        return np.full(queries.shape, -1, np.int64)
    right = np.searchsorted(stamps, queries, side="left")
    left = np.maximum(right - 1, 0)
    right = np.minimum(right, len(stamps) - 1)
    chosen = np.where(np.abs(queries - stamps[left]) <= np.abs(stamps[right] - queries), left, right)
    return np.where(np.abs(stamps[chosen] - queries) <= tolerance_ns, chosen, -1)


def latest_at_or_before(stamps_ns: ArrayLike, query_ns: ArrayLike, max_age_ns: int) -> NDArray[np.int64]:
    """Return (M,) the index of the last stamp at or before each query, -1 if it is older than `max_age_ns` or missing.

    This is what a running system can know at the time of the query.
    stamps_ns: (N,) ascending. query_ns: (M,). An age of exactly max_age_ns counts.
    """
    stamps, queries = np.asarray(stamps_ns, np.int64), np.asarray(query_ns, np.int64)
    if not len(stamps):
        return np.full(queries.shape, -1, np.int64)
    chosen = np.searchsorted(stamps, queries, side="right") - 1
    fresh = (chosen >= 0) & (queries - stamps[np.maximum(chosen, 0)] <= max_age_ns)
    return np.where(fresh, chosen, -1)

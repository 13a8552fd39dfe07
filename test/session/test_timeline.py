"""Pairing by time, against a search of every pair."""

import numpy as np
import pytest

from gaze_vlm_ros.session.timeline import latest_at_or_before, nearest

rng = np.random.default_rng(0)
STAMPS = np.unique(rng.integers(0, 10_000, 300))
QUERIES = rng.integers(-100, 10_100, 500)


@pytest.mark.parametrize("tolerance", [0, 3, 50])
def test_nearest_is_the_nearest(tolerance: int) -> None:
    found = nearest(STAMPS, QUERIES, tolerance)
    distances = np.abs(STAMPS[None] - QUERIES[:, None])
    assert np.array_equal(found >= 0, distances.min(axis=1) <= tolerance)
    hit = found >= 0
    assert hit.any()
    assert np.array_equal(distances[hit, found[hit]], distances.min(axis=1)[hit])


@pytest.mark.parametrize("max_age", [0, 10, 100_000])
def test_latest_never_looks_ahead(max_age: int) -> None:
    found = latest_at_or_before(STAMPS, QUERIES, max_age)
    for query, index in zip(QUERIES, found, strict=True):
        allowed = np.flatnonzero((query >= STAMPS) & (query - STAMPS <= max_age))
        assert index == (allowed[-1] if len(allowed) else -1)


def test_nothing_to_pair_with() -> None:
    assert nearest([], [1, 2], 5).tolist() == [-1, -1]
    assert latest_at_or_before([], [1], 5).tolist() == [-1]


def test_stamps_of_today_keep_their_nanoseconds() -> None:
    stamps = np.array([1_795_000_000_000_000_000, 1_795_000_000_000_000_003])
    assert nearest(stamps, [1_795_000_000_000_000_002], 1).tolist() == [1]

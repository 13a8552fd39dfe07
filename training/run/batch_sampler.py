"""Which windows are in which batch: a function of its arguments alone, so that a resumed fit goes on with the same."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from training.settings import Settings


def chosen_rows(rows: NDArray[np.int64], settings: Settings) -> NDArray[np.int64]:
    """settings.windows of `rows`, in their order: the first of one permutation, so that more windows hold fewer."""
    if not settings.windows:
        return rows
    return rows[np.sort(np.random.default_rng([settings.seed, 2]).permutation(len(rows))[: settings.windows])]


def batch_rows(draw: int, size: int, total: int, seed: int) -> NDArray[np.int64]:
    """Which of `total` windows are in batch number `draw`: every window once before any comes again."""
    return np.array([_order(epoch, total, seed)[place] for epoch, place in _places(draw, size, total)])


def batch_rows_by_class(draw: int, size: int, classes: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The same for windows of `classes` (N,), each class equally often: N draws are as many of one as of another.

    Windows of a rare class come again before all of a frequent one have come.
    """
    key = classes.astype(np.int64).tobytes()
    return np.array([_balanced_order(epoch, key, seed)[place] for epoch, place in _places(draw, size, len(classes))])


def _places(draw: int, size: int, total: int) -> list[tuple[int, int]]:
    """(epoch, place in it) of each window of a batch."""
    return [divmod(place, total) for place in range(draw * size, (draw + 1) * size)]


@functools.lru_cache(maxsize=2)
def _order(epoch: int, total: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(total)


@functools.lru_cache(maxsize=2)
def _balanced_order(epoch: int, classes: bytes, seed: int) -> NDArray[np.int64]:
    class_of = np.frombuffer(classes, np.int64)
    total, present = len(class_of), np.unique(class_of)
    generator = np.random.default_rng([seed, epoch])
    # One more for some classes where the windows do not divide; which ones is drawn.
    counts = np.full(len(present), total // len(present))
    counts[generator.permutation(len(present))[: total % len(present)]] += 1
    chosen = []
    for name, count in zip(present, counts, strict=True):
        rows = np.flatnonzero(class_of == name)
        rounds = [generator.permutation(rows) for _ in range(-(-count // len(rows)))]
        chosen.append(np.concatenate([*rounds, rows[:0]])[:count])
    return generator.permutation(np.concatenate(chosen))

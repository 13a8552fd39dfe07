"""Which windows are in which batch: pure functions of the batch number, so that a resumed fit sees the same batches."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from training.settings import Settings


def chosen_rows(rows: NDArray[np.int64], settings: Settings) -> NDArray[np.int64]:
    """Return settings.windows of `rows`, in order; all of them if it is 0.

    They are the first of one permutation by settings.seed, so that a larger choice contains a smaller one.
    """
    if not settings.windows:
        return rows
    return rows[np.sort(np.random.default_rng([settings.seed, 2]).permutation(len(rows))[: settings.windows])]


def thinned_rows(rows: NDArray[np.int64], thin: NDArray[np.bool_], settings: Settings) -> NDArray[np.int64]:
    """Return `rows` with settings.nothing_share of those that may be left out, drawn by settings.seed.

    thin: (N,) which windows of the data set may be left out.
    """
    kept = np.random.default_rng([settings.seed, 3]).random(len(thin)) < settings.nothing_share
    return rows[~thin[rows] | kept[rows]]


def batch_rows(number: int, size: int, total: int, seed: int) -> NDArray[np.int64]:
    """Return which of `total` windows are in batch `number`, (size,): each window once per epoch."""
    return np.array([_order(epoch, total, seed)[place] for epoch, place in _places(number, size, total)])


def batch_rows_by_class(number: int, size: int, classes: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return which windows are in batch `number`, (size,), each class equally often per epoch of N windows.

    classes: (N,) class of each window. Windows of a rare class repeat before all of a frequent one were used.
    """
    key = classes.astype(np.int64).tobytes()
    return np.array([_balanced_order(epoch, key, seed)[place] for epoch, place in _places(number, size, len(classes))])


def _places(number: int, size: int, total: int) -> list[tuple[int, int]]:
    """Return (epoch, place in it) of each window of a batch."""
    return [divmod(place, total) for place in range(number * size, (number + 1) * size)]


@functools.lru_cache(maxsize=2)
def _order(epoch: int, total: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(total)


@functools.lru_cache(maxsize=2)
def _balanced_order(epoch: int, classes: bytes, seed: int) -> NDArray[np.int64]:
    class_of = np.frombuffer(classes, np.int64)
    total, present = len(class_of), np.unique(class_of)
    generator = np.random.default_rng([seed, epoch])
    # If N is no multiple of the number of classes, some classes, drawn at random, get one window more.
    counts = np.full(len(present), total // len(present))
    counts[generator.permutation(len(present))[: total % len(present)]] += 1
    chosen = []
    for name, count in zip(present, counts, strict=True):
        rows = np.flatnonzero(class_of == name)
        rounds = [generator.permutation(rows) for _ in range(-(-count // len(rows)))]
        chosen.append(np.concatenate([*rounds, rows[:0]])[:count])
    return generator.permutation(np.concatenate(chosen))

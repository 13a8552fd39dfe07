"""LeRobot's statistics of a data set: for each episode, and combined over all episodes by weighted means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Statistics = dict[str, NDArray[Any]]  # by name; `count` is an integer of shape (1,)

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}


def column_statistics(values: NDArray) -> Statistics:
    """Return the statistics of a feature's values (N, d), N > 0; each entry is (d,), count (1,)."""
    values = values.astype(np.float64)
    found = {"min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0)}
    found |= {name: np.quantile(values, share, axis=0) for name, share in QUANTILES.items()}
    return found | {"count": np.array([len(values)])}


def picture_statistics(histogram: NDArray[np.int64], pictures: int) -> Statistics:
    """Return the statistics of pixel values scaled to 0..1; each entry is (3, 1, 1), count (1,).

    histogram: (3, 256) number of pixels of each value, by channel. pictures: how many were counted.
    """
    levels = np.arange(256) / 255
    total = histogram.sum(1)
    mean = histogram @ levels / total
    upto = histogram.cumsum(1) / total[:, None]
    found = {
        "min": levels[(histogram > 0).argmax(1)],
        "max": levels[255 - (histogram[:, ::-1] > 0).argmax(1)],
        "mean": mean,
        "std": np.sqrt(np.maximum(histogram @ levels**2 / total - mean**2, 0)),
    }
    found |= {name: levels[(upto >= share).argmax(1)] for name, share in QUANTILES.items()}
    return {name: value.reshape(3, 1, 1) for name, value in found.items()} | {"count": np.array([pictures])}


def combined(episodes: Sequence[Mapping[str, Statistics]]) -> dict[str, Statistics]:
    """Return the statistics of all episodes by feature, combined as LeRobot does: quantiles are weighted means."""
    return {feature: _combined([episode[feature] for episode in episodes]) for feature in episodes[0]}


def _combined(parts: Sequence[Statistics]) -> Statistics:
    counts = np.array([part["count"][0] for part in parts])
    stacked = {name: np.stack([part[name] for part in parts]) for name in parts[0] if name != "count"}
    weighted = {name: np.tensordot(counts / counts.sum(), values, 1) for name, values in stacked.items()}
    spread = stacked["std"] ** 2 + (stacked["mean"] - weighted["mean"]) ** 2
    return weighted | {
        "min": stacked["min"].min(0),
        "max": stacked["max"].max(0),
        "std": np.sqrt(np.tensordot(counts / counts.sum(), spread, 1)),
        "count": np.array([counts.sum()]),
    }

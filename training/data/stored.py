"""Prepared windows on disk, read by memory map."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from training.data.conversion import Converted, stored_gaze
from training.data.gaze_targets import FrameGaze
from training.data.shards import Shard

# Open at a time. Bags may be thousands, and files that a process may have open are often 1024.
_open_shard = functools.lru_cache(maxsize=128)(Shard)
_open_array = functools.lru_cache(maxsize=128)(functools.partial(np.load, mmap_mode="r"))


@dataclass(frozen=True)
class StoredWindows:
    """What is on disk of N windows: window i is row `row[i]` of the files of bag `bag[i]`. Read when asked for."""

    bags: Sequence[Converted]
    bag: NDArray[np.int64]  # (N,)
    row: NDArray[np.int64]  # (N,)

    def __len__(self) -> int:
        return len(self.bag)

    def images(self, rows: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """The model's image tensors of these windows, joined along the axis that batches are joined along."""
        windows = [_open_shard(self.bags[self.bag[row]].images)[int(self.row[row])] for row in rows]
        return {name: torch.cat([window[name] for window in windows]) for name in windows[0]}

    def gaze_points(self, row: int) -> list[FrameGaze]:
        """Usable gaze on each frame of one window."""
        return stored_gaze(_open_shard(self.bags[self.bag[row]].gaze)[int(self.row[row])])

    def targets(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(len(rows), V)"""
        return np.stack([_open_array(self.bags[self.bag[row]].targets)[self.row[row]] for row in rows])

    def has_gaze(self) -> NDArray[np.bool_]:
        """(N,) whether the target is not zero everywhere."""
        found = np.zeros(len(self), np.bool_)
        for bag in np.unique(self.bag):
            of_bag = np.flatnonzero(self.bag == bag)
            array = _open_array(self.bags[bag].targets)
            for start in range(0, len(of_bag), 4096):
                rows = of_bag[start : start + 4096]
                found[rows] = array[self.row[rows]].any(axis=1)
        return found


class Targets:
    """(N, V) float32 gaze targets that lie on disk: indexed by a row, or by an array of rows, it reads those alone."""

    def __init__(self, stored: StoredWindows, tokens: int) -> None:
        self._stored = stored
        self.shape = (len(stored), tokens)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | NDArray[np.int64]) -> NDArray[np.float32]:
        if np.ndim(rows) == 0:
            return self._stored.targets(np.array([rows]))[0]
        return self._stored.targets(np.asarray(rows))

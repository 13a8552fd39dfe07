"""Read prepared windows from the files of many bags."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from training.data.conversion import Converted, unpack_gaze
from training.data.gaze_targets import FrameGaze
from training.data.prepared_arrays import PreparedArrays


class OpenFiles:
    """Memory maps of the files used last, at most `limit` of each kind; a pickled copy starts with none.

    The limit matters: thousands of bags are possible, and a process may often have only 1024 files open.
    """

    def __init__(self, limit: int = 128) -> None:
        self._limit = limit
        self.arrays = functools.lru_cache(limit)(PreparedArrays)
        self.targets = functools.lru_cache(limit)(_load_targets)

    def __reduce__(self) -> tuple[Any, ...]:
        return OpenFiles, (self._limit,)


def _load_targets(path: Path) -> NDArray[np.float32]:
    mapped: NDArray[np.float32] = np.load(path, mmap_mode="r")
    return mapped


@dataclass(frozen=True)
class PreparedWindows:
    """N windows on disk, read on access: window i is row `row[i]` of the files of bag `bag[i]`."""

    bags: Sequence[Converted]
    bag: NDArray[np.int64]  # (N,)
    row: NDArray[np.int64]  # (N,)
    files: OpenFiles = field(default_factory=OpenFiles, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.bag)

    def images(self, rows: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """Return the model's image tensors of the windows `rows`, concatenated along the batch axis."""
        windows = [self.files.arrays(self.bags[self.bag[row]].images)[int(self.row[row])] for row in rows]
        return {name: torch.cat([window[name] for window in windows]) for name in windows[0]}

    def gaze_points(self, row: int) -> list[FrameGaze]:
        """Return usable gaze on each frame of one window: (n, 2) points px and (n,) weights."""
        return unpack_gaze(self.files.arrays(self.bags[self.bag[row]].gaze)[int(self.row[row])])

    def targets(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the (len(rows), V) gaze targets of the windows `rows`."""
        return np.stack([self.files.targets(self.bags[self.bag[row]].targets)[self.row[row]] for row in rows])

    def has_gaze(self) -> NDArray[np.bool_]:
        """Return (N,) whether each target has a value above zero."""
        found = np.zeros(len(self), np.bool_)
        for bag in np.unique(self.bag):
            of_bag = np.flatnonzero(self.bag == bag)
            array = self.files.targets(self.bags[bag].targets)
            for start in range(0, len(of_bag), 4096):
                rows = of_bag[start : start + 4096]
                found[rows] = array[self.row[rows]].any(axis=1)
        return found


class Targets:
    """(N, V) float32 gaze targets on disk. Index with a row or an array of rows; only those are read."""

    def __init__(self, windows: PreparedWindows, tokens: int) -> None:
        self._windows = windows
        self.shape = (len(windows), tokens)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the (V,) target of one row, or the (n, V) targets of n rows."""
        if np.ndim(rows) == 0:
            return self._windows.targets(np.array([rows]))[0]
        return self._windows.targets(np.asarray(rows))

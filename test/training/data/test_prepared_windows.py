"""Prepared windows are read from the files of several bags, with a bounded number of open files."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from training.data.conversion import Converted
from training.data.prepared_arrays import PreparedArraysWriter
from training.data.prepared_windows import OpenFiles, PreparedWindows, Targets


@pytest.fixture
def bags(tmp_path: Path) -> list[Converted]:
    """Two bags of two windows: pixel values tell bag and row, and only the first bag has gaze."""
    found = []
    for bag in range(2):
        files = Converted(("", ""), *(tmp_path / f"{bag}.{name}" for name in ("images", "gaze", "targets.npy")))
        with PreparedArraysWriter(files.images) as images, PreparedArraysWriter(files.gaze) as gaze:
            for row in range(2):
                images.append({"pixel_values": torch.full((1, 3), 10.0 * bag + row)})
                gaze.append({"points_0": torch.full((1, 2), float(row)), "weights_0": torch.ones(1)})
        np.save(files.targets, np.array([[0.25, 0.75], [0.0, 0.0]] if bag == 0 else np.zeros((2, 2)), np.float32))
        found.append(files)
    return found


def test_windows_come_from_the_file_and_row_that_they_name(bags: list[Converted]) -> None:
    windows = PreparedWindows(bags, np.array([1, 0, 0]), np.array([1, 1, 0]))
    assert len(windows) == 3
    assert windows.images(np.array([2, 0]))["pixel_values"].tolist() == [[0.0] * 3, [11.0] * 3]
    ((points, weights),) = windows.gaze_points(1)
    assert (points.tolist(), weights.tolist()) == ([[1.0, 1.0]], [1.0])
    assert windows.has_gaze().tolist() == [False, False, True]
    targets = Targets(windows, 2)
    assert targets.shape == (3, 2)
    assert targets[2].tolist() == [0.25, 0.75]
    assert targets[np.array([2, 0])].tolist() == [[0.25, 0.75], [0.0, 0.0]]


def test_open_files_are_bounded_and_stay_in_their_process(bags: list[Converted]) -> None:
    files = OpenFiles(limit=1)
    first = files.arrays(bags[0].images)
    assert files.arrays(bags[0].images) is first
    files.arrays(bags[1].images)
    assert files.arrays.cache_info().currsize == 1
    assert files.arrays(bags[0].images) is not first
    copy = pickle.loads(pickle.dumps(files))
    assert copy.arrays.cache_info() == (0, 0, 1, 0)  # hits, misses, limit, size: nothing is open
    windows = pickle.loads(pickle.dumps(PreparedWindows(bags, np.array([0]), np.array([0]), files)))
    assert windows.targets(np.array([0])).tolist() == [[0.25, 0.75]]

"""Which gaze a window is given."""

import numpy as np
import pytest

from training.data.gaze_targets import NothingToShuffle, shuffled_rows


def test_no_window_keeps_its_own_gaze_when_it_is_shuffled() -> None:
    for count in (2, 3, 10):
        has_gaze = np.arange(12) < count
        rows = shuffled_rows(has_gaze, seed=0)
        assert sorted(rows.tolist()) == list(range(12))
        assert ((rows != np.arange(12)) == has_gaze).all()


def test_the_gaze_of_a_single_window_cannot_be_shuffled() -> None:
    with pytest.raises(NothingToShuffle, match="only one window to train on has usable gaze"):
        shuffled_rows(np.arange(5) == 3, seed=0)
    assert shuffled_rows(np.zeros(3, bool), seed=0).tolist() == [0, 1, 2]

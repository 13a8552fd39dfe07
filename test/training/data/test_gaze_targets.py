"""Which gaze a window is given."""

import numpy as np
import pytest

from training.data.gaze_targets import NothingToShuffle, shuffled_rows, unseen_share, window_target


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


def test_gaze_outside_what_the_model_sees_is_no_target() -> None:
    """A model that crops the middle of 2 frames of 200 x 100 px: normalized up from nothing, its edge would get 1."""
    edges = np.arange(50, 151, 25.0)
    boxes = np.array([[x, 0, x + 25, 100] for x in edges[:-1]] * 2)
    frames = np.repeat([0, 1], 4)
    outside, inside = np.array([[5.0, 50.0], [190.0, 50.0]]), np.array([[62.0, 50.0]])
    nothing, weights = (np.empty((0, 2)), np.empty(0)), np.ones(2)
    assert not window_target([(outside, weights), nothing], frames, boxes, 6.0).any()
    both = [(np.concatenate([inside, outside]), np.ones(3)), (outside, weights)]
    alone = window_target([(inside, np.ones(1)), nothing], frames, boxes, 6.0)
    np.testing.assert_allclose(window_target(both, frames, boxes, 6.0), alone)
    assert unseen_share([both], frames, boxes, 6.0) == 4 / 5
    assert unseen_share([[nothing, nothing]], frames, boxes, 6.0) == 0
    near = window_target([(np.array([[45.0, 50.0]]), np.ones(1)), nothing], frames, boxes, 6.0)
    assert near[0] > 0.99  # within the tracker's error of what it sees

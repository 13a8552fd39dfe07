"""Entropy of gaze over areas, against numbers worked out by hand."""

import numpy as np
import pytest

from gaze_vlm_ros.assessment.entropy import areas_of, stationary_entropy, transition_entropy


def test_areas_are_cells_row_by_row() -> None:
    points = np.array([[0.0, 0.0], [399.0, 0.0], [0.0, 299.0], [400.0, 10.0], [np.nan, 1.0]])
    assert areas_of(points, (400, 300), (4, 3)).tolist() == [0, 3, 8, -1, -1]


def test_stationary_entropy_is_that_of_the_shares() -> None:
    assert stationary_entropy(np.array([3, 3, 3])) == 0
    assert stationary_entropy(np.array([0, 1, 2, 3, -1])) == pytest.approx(2.0)
    assert stationary_entropy(np.array([0, 1]), np.array([3.0, 1.0])) == pytest.approx(0.811278, abs=1e-6)
    assert np.isnan(stationary_entropy(np.array([-1])))


def test_transition_entropy_weighs_each_area_by_how_often_it_is_left() -> None:
    assert transition_entropy(np.array([0, 1, 0, 1, 0])) == 0
    # From 0: to 1 and to 2 as often, 1 bit, in 2 of 3 transitions; from 1: to 0 only.
    assert transition_entropy(np.array([0, 1, 0, 2])) == pytest.approx(2 / 3)
    # Nothing passes over a look that is on no area.
    assert transition_entropy(np.array([0, 1, -1, 0, 2])) == pytest.approx(1.0)
    assert np.isnan(transition_entropy(np.array([1, -1, 2])))

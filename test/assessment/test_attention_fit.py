"""Surprise of gaze under an attention map, against numbers worked out by hand."""

import math

import numpy as np
import pytest

from gaze_vlm_ros.assessment.attention_fit import (
    LEAST_MASS,
    mass_near,
    percentile,
    scanpath_saliency,
    surprise,
    within_half,
)

SIZE = (400, 300)
EVEN = np.full((3, 4), 1 / 12)


def only(row: int, column: int) -> np.ndarray:
    found = np.zeros((3, 4))
    found[row, column] = 1.0
    return found


def test_mass_is_the_share_of_each_cell_that_the_square_covers() -> None:
    points = np.array([[150.0, 150.0], [100.0, 150.0], [0.0, 0.0], [np.nan, 10.0]])
    # A square of 20 px side in cells of 100 px: 0.04 of a cell where it is within one.
    found = mass_near(points, only(1, 1), SIZE, reach=0.025)
    np.testing.assert_allclose(found, [0.04, 0.02, 0.0, np.nan])
    np.testing.assert_allclose(mass_near(points[:3], EVEN, SIZE, reach=0.025), [0.04 / 12, 0.04 / 12, 0.01 / 12])


def test_surprise_is_the_negative_logarithm_and_has_an_upper_limit() -> None:
    points = np.array([[150.0, 150.0], [350.0, 50.0], [np.nan, np.nan]])
    found = surprise(points, only(1, 1), SIZE, reach=0.025)
    assert found[0] == pytest.approx(-math.log(0.04))
    assert found[1] == pytest.approx(-math.log(LEAST_MASS))
    assert np.isnan(found[2])


def test_saliency_is_the_maps_value_in_standard_deviations() -> None:
    attention = only(1, 1)
    points = np.array([[150.0, 150.0], [350.0, 50.0], [400.0, 50.0], [-1.0, 5.0]])
    found = scanpath_saliency(points, attention, SIZE)
    mean, deviation = 1 / 12, math.sqrt(1 / 12 - 1 / 144)
    np.testing.assert_allclose(found, [(1 - mean) / deviation, -mean / deviation, np.nan, np.nan])
    assert np.isnan(scanpath_saliency(points, EVEN, SIZE)).all()


def test_half_of_the_attention_is_the_fewest_cells_that_hold_it() -> None:
    attention = np.zeros((3, 4))
    attention[0, 0], attention[1, 1], attention[2, 3] = 0.4, 0.35, 0.25
    points = np.array([[50.0, 50.0], [150.0, 150.0], [350.0, 250.0], [np.nan, 0.0]])
    assert within_half(points, attention, SIZE).tolist() == [True, True, False, False]
    assert within_half(points, EVEN, SIZE).tolist() == [True, True, True, False]


def test_percentile_of_normal_values() -> None:
    normal = np.array([1.0, 2.0, 2.0, 4.0, np.nan])
    np.testing.assert_allclose(
        percentile(np.array([0.0, 1.0, 2.0, 3.0, 5.0, np.nan]), normal), [0, 0.125, 0.5, 0.75, 1, np.nan]
    )
    with pytest.raises(ValueError, match="no normal value"):
        percentile(np.zeros(1), np.array([np.nan]))

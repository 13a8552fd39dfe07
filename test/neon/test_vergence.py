import numpy as np
import pytest

from gaze_vlm_ros.neon.vergence import crossing_distance

LEFT, RIGHT = [-32.0, 0.0, 0.0], [32.0, 0.0, 0.0]


def test_lines_that_meet_do_so_at_their_distance() -> None:
    points = np.array([[0.0, 0, 500], [100.0, -50, 1500], [-30.0, 20, 250]])
    found = crossing_distance([LEFT] * 3, points - LEFT, [RIGHT] * 3, 7 * (points - RIGHT))
    assert found == pytest.approx(np.linalg.norm(points, axis=1))


def test_lines_that_pass_each_other_meet_between() -> None:
    up, down = np.array([0.0, 1, 400]) - LEFT, np.array([0.0, -1, 400]) - RIGHT
    assert crossing_distance(LEFT, up, RIGHT, down) == pytest.approx(400, abs=1)


@pytest.mark.parametrize("axes", [([0, 0, 1], [0, 0, 1]), ([-0.1, 0, 1], [0.1, 0, 1]), ([np.nan, 0, 1], [0, 0, 1]),
                                  ([0, 0, 0], [0, 0, 1])])  # fmt: skip
def test_lines_that_never_meet_have_no_distance(axes: tuple[list[float], list[float]]) -> None:
    assert np.isnan(crossing_distance(LEFT, axes[0], RIGHT, axes[1])).all()

"""Looks at named things, and how long before the hand."""

from pathlib import Path

import numpy as np
import pytest

from gaze_vlm_ros.assessment.looks import Looks
from gaze_vlm_ros.assessment.objects import looked_at, looked_first_s, time_on
from gaze_vlm_ros.session.regions import RegionTrack

S = 1_000_000_000
CUP, BOX = np.array([100.0, 100.0, 140.0, 140.0]), np.array([130.0, 100.0, 200.0, 140.0])


def looks(*times_s: tuple[float, float], xy: list[tuple[float, float]] | None = None) -> Looks:
    starts, ends = np.array(times_s).T
    return Looks(
        (starts * S).astype(np.int64), (ends * S).astype(np.int64), np.array(xy or [(0.0, 0.0)] * len(times_s), float)
    )


def test_a_look_is_at_the_thing_whose_centre_is_nearest_of_those_around_it() -> None:
    regions = RegionTrack(
        Path("bag"), np.array([0, S]), [{"cup": CUP, "box": BOX}, {"cup": CUP + 300}], [(640, 480)] * 2
    )
    found = looks((0.1, 0.3), (0.4, 0.6), (0.7, 0.8), (1.1, 1.3), xy=[(135, 120), (150, 120), (300, 300), (420, 420)])
    assert looked_at(found, regions, (640, 480), margin=0.01) == ["cup", "box", "", "cup"]
    assert looked_at(looks((0, 1), xy=[(94, 120)]), regions, (640, 480), margin=0.01) == ["cup"]
    assert looked_at(looks((0, 1), xy=[(92, 120)]), regions, (640, 480), margin=0.01) == [""]


def test_time_on_things_is_a_share_of_all_looking() -> None:
    found = looks((0, 0.3), (0.4, 0.5), (0.6, 1.2))
    assert time_on(["cup", "", "box"], found, {"cup"}) == pytest.approx(0.3)
    assert time_on(["cup", "", "box"], found, {"cup", "box"}) == pytest.approx(0.9)
    assert np.isnan(time_on([], looks((0, 0)), {"cup"}))


def test_the_last_visit_before_the_hand_counts_from_its_first_look() -> None:
    found = looks((0.0, 0.2), (0.3, 0.5), (0.6, 0.8), (0.9, 1.0), (1.6, 1.8))
    names = ["cup", "box", "cup", "cup", "cup"]
    assert looked_first_s(names, found, "cup", 1_500_000_000) == pytest.approx(0.9)
    assert looked_first_s(names, found, "box", 1_500_000_000) == pytest.approx(1.2)


def test_a_thing_not_looked_at_or_long_ago_or_only_after_the_hand_was_not_looked_at_first() -> None:
    found = looks((0.0, 0.2), (3.0, 3.2))
    assert np.isnan(looked_first_s(["box", "box"], found, "cup", 3 * S))
    assert np.isnan(looked_first_s(["cup", "box"], found, "cup", 3 * S))
    assert np.isnan(looked_first_s(["box", "cup"], found, "cup", 3 * S))
    assert looked_first_s(["cup", "box"], found, "cup", 2 * S) == pytest.approx(2.0)

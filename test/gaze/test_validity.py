"""Which gaze samples count, and how many do not and why."""

import numpy as np
import pytest

from gaze_vlm_ros.gaze.distribution import BLINK, SACCADE, WORN_NO
from gaze_vlm_ros.gaze.summary import GazeSummary, gaze_summary
from gaze_vlm_ros.gaze.validity import sample_faults, usable_samples
from gaze_vlm_ros.session.gaze_track import GazeTrack

NAN = float("nan")
WORN_YES, FIXATION = 2, 1  # as in gaze_vlm_msgs/GazeStamped


def track(*samples: tuple[float, float, float, int, int], size: tuple[int, int] = (0, 0)) -> GazeTrack:
    """A track of samples (x, y, confidence, worn, eye state), 5 ms apart."""
    x, y, confidence, worn, state = zip(*samples, strict=True)
    return GazeTrack(
        np.arange(len(samples)) * 5_000_000, np.column_stack([x, y]).astype(float), np.array(confidence, float),
        np.array(worn, np.uint8), np.array(state, np.uint8), size,
    )  # fmt: skip


def good(x: float, y: float) -> tuple[float, float, float, int, int]:
    return x, y, 0.9, WORN_YES, FIXATION


# Points at, just inside and just outside each edge of an image of 64x48 px, and whether they are on it.
EDGES = [
    ((0, 0), True), ((63.9, 47.9), True), ((64, 47), False), ((63, 48), False), ((-0.1, 5), False), ((5, -0.1), False),
    ((100, 5), False), ((5, 100), False), ((32, 24), True),
]  # fmt: skip


@pytest.mark.parametrize(("point", "on_image"), EDGES)
@pytest.mark.parametrize("own_size", [True, False])
def test_a_point_counts_where_it_is_on_the_image(point: tuple[float, float], on_image: bool, own_size: bool) -> None:
    """The track's own image size goes before the camera's."""
    gaze = track(good(*point), size=(64, 48) if own_size else (0, 0))
    frame_size = (1, 1) if own_size else (64, 48)
    assert usable_samples(gaze, frame_size).tolist() == [on_image]
    assert sample_faults(gaze, frame_size)["off the image"].tolist() == [not on_image]
    summary = gaze_summary(gaze, frame_size)
    assert (summary.valid, summary.off_image) == ((1, 0) if on_image else (0, 1))


def test_without_any_size_only_negative_points_are_off_the_image() -> None:
    gaze = track(good(1e6, 1e6), good(-1, 5))
    assert usable_samples(gaze, None).tolist() == [True, False]


def test_each_fault_is_counted_under_its_name() -> None:
    gaze = track(
        good(5, 5), (5, 5, 0.9, WORN_NO, FIXATION), (5, 5, 0.59, WORN_YES, FIXATION), (5, 5, 0.6, WORN_YES, FIXATION),
        (5, 5, NAN, WORN_YES, FIXATION), (5, 5, 0.9, WORN_YES, BLINK), (5, 5, 0.9, WORN_YES, SACCADE), good(NAN, 5),
        good(5, float("inf")), good(64, 5), (64, NAN, 0.1, WORN_NO, BLINK), size=(64, 48),
    )  # fmt: skip
    assert gaze_summary(gaze, None) == GazeSummary(
        samples=11, valid=3, not_worn=2, unsure=2, off_image=4, blink_or_saccade=3, no_estimate=3
    )
    assert usable_samples(gaze, None).sum() == 3


def test_the_least_confidence_is_a_setting() -> None:
    gaze = track((5, 5, 0.3, WORN_YES, FIXATION), size=(64, 48))
    assert usable_samples(gaze, None, min_confidence=0.3).tolist() == [True]
    assert gaze_summary(gaze, None, min_confidence=0.3).valid == 1
    assert gaze_summary(gaze, None).unsure == 1

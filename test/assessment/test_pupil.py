"""Pupils relative to the wearer's own, and that a bag's pupils are read."""

from types import SimpleNamespace

import numpy as np

from gaze_vlm_ros.assessment.pupil import pupil_baseline_mm, pupil_change, pupil_mm
from gaze_vlm_ros.session.gaze_track import GazeTrack, read_gaze


def track(pupils_mm: list[tuple[float, float]] | None) -> GazeTrack:
    count = 4 if pupils_mm is None else len(pupils_mm)
    unknown = np.zeros(count, np.uint8)
    pupils = None if pupils_mm is None else np.array(pupils_mm)
    return GazeTrack(np.arange(count), np.zeros((count, 2)), np.ones(count), unknown, unknown, (0, 0), pupils)


def test_pupils_are_the_mean_of_the_eyes_that_are_known() -> None:
    gaze = track([(3.0, 4.0), (3.0, np.nan), (0.0, 5.0), (np.nan, 0.0)])
    np.testing.assert_allclose(pupil_mm(gaze), [3.5, 3.0, 5.0, np.nan])
    assert pupil_baseline_mm(gaze) == 3.5
    np.testing.assert_allclose(pupil_change(gaze, 4.0), [-0.125, -0.25, 0.25, np.nan])


def test_without_pupils_nothing_is_known() -> None:
    assert np.isnan(pupil_mm(track(None))).all()
    assert np.isnan(pupil_baseline_mm(track(None)))


class Messages(list):
    """As much of a TopicStream as read_gaze uses."""

    type_name, bag_path, topic = "gaze_vlm_msgs/msg/GazeStamped", "bag", "/gaze"

    def messages(self) -> list:
        return self


def message(nanosec: int, **more: float) -> SimpleNamespace:
    header = SimpleNamespace(stamp=SimpleNamespace(sec=1, nanosec=nanosec))
    fields = {"x": 1.0, "y": 2.0, "confidence": 1.0, "worn": 2, "eye_state": 1, "image_width": 64, "image_height": 48}
    return SimpleNamespace(header=header, **fields, **more)


def test_pupils_of_a_bag_are_read_in_the_order_of_their_stamps() -> None:
    both = [
        message(9, pupil_diameter_left=3.0, pupil_diameter_right=4.0),
        message(5, pupil_diameter_left=2.0, pupil_diameter_right=2.5),
    ]
    np.testing.assert_array_equal(read_gaze(Messages(both)).pupils_mm, [[2.0, 2.5], [3.0, 4.0]])
    assert np.isnan(read_gaze(Messages([message(1)])).pupils_mm).all()

"""Gaze samples of a topic, in pixels of one image size."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gaze_vlm_ros.session.gaze_track import UnclearGaze, read_gaze


def stream(*samples: tuple[float, float, int, int]) -> Any:
    """A topic of samples (x, y, image width, image height), a nanosecond apart."""
    messages = [
        SimpleNamespace(
            header=SimpleNamespace(stamp=SimpleNamespace(sec=0, nanosec=number)), x=x, y=y, image_width=width,
            image_height=height, confidence=1.0, worn=2, eye_state=0,
        )
        for number, (x, y, width, height) in enumerate(samples)
    ]  # fmt: skip

    class Stream(SimpleNamespace):
        def __len__(self) -> int:
            return len(messages)

    return Stream(type_name="gaze_vlm_msgs/msg/GazeStamped", bag_path="bag", topic="/gaze", messages=lambda: messages)


def test_each_sample_refers_to_the_size_of_its_own_image() -> None:
    """A tracker that switched to half the size: all points on the last size, where one size for all is twice off."""
    gaze = read_gaze(stream((48, 32, 96, 64), (24, 16, 48, 32), (10, 10, 0, 0)))
    assert gaze.image_size == (48, 32)
    np.testing.assert_allclose(gaze.xy, [[24, 16], [24, 16], [10, 10]])
    assert read_gaze(stream((1, 2, 0, 0))).image_size == (0, 0)


def test_images_of_other_shapes_are_refused() -> None:
    with pytest.raises(UnclearGaze, match=r"refers to images of other shapes \(48x32, 96x48 px\)"):
        read_gaze(stream((48, 32, 96, 48), (24, 16, 48, 32)))

"""Gaze that other trackers' drivers publish as bare points."""

from pathlib import Path

import numpy as np
import pytest
from small_bags import HEIGHT, START_NS, WIDTH, header

from gaze_vlm_ros.bags.message_types import message_class
from gaze_vlm_ros.bags.roles import POINT_TYPE
from gaze_vlm_ros.bags.writer import BagWriter
from gaze_vlm_ros.session.gaze_track import UnclearGaze, points_to_px
from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.video.images import encode_jpeg


@pytest.mark.parametrize(
    ("coordinates", "expected"),
    [
        ("px_top_left", [[10, 40]]),
        ("px_bottom_left", [[10, 60]]),
        ("normalized_top_left", [[2000, 4000]]),
        ("normalized_bottom_left", [[2000, -3900]]),
    ],
)
def test_points_to_px(coordinates: str, expected: list[list[float]]) -> None:
    points = np.array([[10.0, 40.0]])
    np.testing.assert_allclose(points_to_px(points, coordinates, (200, 100)), expected)
    np.testing.assert_array_equal(points, [[10.0, 40.0]])


def write_points(folder: Path, **metadata: str) -> Path:
    writer = BagWriter(folder, metadata)
    writer.add_topic("/camera/image_raw/compressed", "sensor_msgs/msg/CompressedImage")
    writer.add_topic("/eyes", POINT_TYPE)
    jpeg = np.frombuffer(encode_jpeg(np.zeros((HEIGHT, WIDTH, 3), np.uint8)), np.uint8)
    image = message_class("sensor_msgs/msg/CompressedImage")(header(START_NS), "jpeg", jpeg)
    writer.write_message("/camera/image_raw/compressed", image, START_NS)
    for number, (x, y) in enumerate([(0.5, 0.25), (np.nan, np.nan)]):
        point = message_class("geometry_msgs/msg/Point")(x, y, 0.0)
        message = message_class(POINT_TYPE)(header(START_NS - number), point)  # out of order
        writer.write_message("/eyes", message, START_NS + number)
    writer.close()
    return folder


def test_points_that_the_bag_calls_gaze_are_gaze(tmp_path: Path) -> None:
    gaze = load_session(
        write_points(tmp_path / "bag", gaze_topic="/eyes", gaze_coordinates="normalized_bottom_left")
    ).gaze
    assert gaze is not None
    np.testing.assert_array_equal(gaze.stamps_ns, [START_NS - 1, START_NS])
    np.testing.assert_allclose(gaze.xy, [[np.nan, np.nan], [WIDTH / 2, 0.75 * HEIGHT]])
    assert np.isnan(gaze.confidence).all()
    assert gaze.image_size == (WIDTH, HEIGHT)


def test_other_points_are_not(tmp_path: Path) -> None:
    assert load_session(write_points(tmp_path / "bag")).gaze is None


def test_points_without_an_explanation_are_refused(tmp_path: Path) -> None:
    folder = write_points(tmp_path / "bag", gaze_topic="/eyes", gaze_coordinates="px")
    with pytest.raises(UnclearGaze, match="gaze_coordinates is 'px', expected one of px_top_left"):
        load_session(folder)

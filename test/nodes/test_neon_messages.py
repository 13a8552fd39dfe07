"""Samples of the glasses as ROS messages, without a node."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="messages need their packages")

from gaze_vlm_ros.bags.stamps import nanoseconds
from gaze_vlm_ros.neon.description import Description
from gaze_vlm_ros.nodes.neon_messages import (
    COLOUR,
    GREY,
    audio_messages,
    camera_info_message,
    gaze_message,
    header_at,
    image_message,
    imu_message,
    jpeg_message,
)
from gaze_vlm_ros.video.images import to_rgb

STAMP_NS = 1_700_000_000_123_456_789
HEADER = header_at(STAMP_NS, "scene")


def test_gaze_has_the_tracker_s_stamp_and_no_confidence() -> None:
    message = gaze_message(SimpleNamespace(x=12.5, y=-3.0, worn=True), STAMP_NS - 5, HEADER, (1600, 1200))
    assert (nanoseconds(message.header.stamp), message.header.frame_id) == (STAMP_NS, "scene")
    assert nanoseconds(message.device_stamp) == STAMP_NS - 5
    assert (message.x, message.y, message.image_width, message.image_height) == (12.5, -3.0, 1600, 1200)
    assert (message.worn, message.eye_state) == (message.WORN_YES, message.EYE_UNKNOWN)
    assert math.isnan(message.confidence)
    off = gaze_message(SimpleNamespace(x=0, y=0, worn=False), STAMP_NS, HEADER, None)
    assert (off.worn, off.image_width, off.image_height) == (off.WORN_NO, 0, 0)


def test_gaze_has_pupils_and_the_distance_where_the_eyes_meet_if_the_app_streams_eye_state() -> None:
    plain = gaze_message(SimpleNamespace(x=1.0, y=2.0, worn=True), STAMP_NS, HEADER, None)
    assert all(map(math.isnan, (plain.pupil_diameter_left, plain.pupil_diameter_right, plain.vergence_distance)))
    eyes = {"pupil_diameter_left": 3.25, "pupil_diameter_right": 2.75}
    for eye, x in (("left", -32.0), ("right", 32.0)):
        for part, place in (("eyeball_center", (x, 0.0, 0.0)), ("optical_axis", (-x, 0.0, 800.0))):
            eyes |= {f"{part}_{eye}_{axis}": value for axis, value in zip("xyz", place, strict=True)}
    seen = gaze_message(SimpleNamespace(x=1.0, y=2.0, worn=True, **eyes), STAMP_NS, HEADER, None)
    assert (seen.pupil_diameter_left, seen.pupil_diameter_right) == (3.25, 2.75)
    assert seen.vergence_distance == pytest.approx(0.8)


def imu(quaternion: tuple[float, ...]) -> SimpleNamespace:
    return SimpleNamespace(gyro_data=(90.0, 0.0, -180.0), accel_data=(0.0, 1.0, -2.0), quaternion=quaternion)


def test_motion_is_in_si_units_and_its_orientation_normalized() -> None:
    message = imu_message(imu((0.0, 0.0, 1.04, 0.0)), HEADER)
    velocity, acceleration = message.angular_velocity, message.linear_acceleration
    assert (velocity.x, velocity.y, velocity.z) == pytest.approx((math.pi / 2, 0.0, -math.pi))
    assert (acceleration.x, acceleration.y, acceleration.z) == pytest.approx((0.0, 9.80665, -19.6133))
    assert (message.orientation.z, message.orientation.w) == (1.0, 0.0)
    assert list(message.orientation_covariance) == [0.0] * 9


def test_an_orientation_that_is_none_is_marked() -> None:
    message = imu_message(imu((0.0, 0.0, 0.0, 0.0)), HEADER)
    assert message.orientation_covariance[0] == -1.0


def test_camera_info_with_and_without_a_calibration() -> None:
    calibration = SimpleNamespace(
        scene_camera_matrix=[[150.0, 0, 81], [0, 151.0, 61], [0, 0, 1]], scene_distortion_coefficients=[range(8)]
    )
    info = camera_info_message(162, 122, HEADER, calibration)
    assert (info.width, info.height, info.distortion_model) == (162, 122, "rational_polynomial")
    assert list(info.d) == list(range(8))
    assert list(info.k) == [150.0, 0, 81, 0, 151.0, 61, 0, 0, 1]
    assert list(info.p) == [150.0, 0, 81, 0, 0, 151.0, 61, 0, 0, 0, 1, 0]
    assert list(info.r) == [1, 0, 0, 0, 1, 0, 0, 0, 1]
    bare = camera_info_message(162, 122, HEADER, None)
    assert (bare.distortion_model, list(bare.d), list(bare.k)) == ("", [], [0.0] * 9)


def test_access_units_of_a_packet_follow_each_other_by_their_samples() -> None:
    description = Description("mpeg4-generic", 16_000, 97, {"config": "1408"})
    first, second = audio_messages([b"AB", b"CDE"], description, STAMP_NS, "scene")
    assert (bytes(first.data), bytes(second.data)) == (b"AB", b"CDE")
    assert (first.codec, first.sample_rate, first.channels, bytes(first.config)) == ("aac", 16_000, 1, b"\x14\x08")
    assert nanoseconds(first.header.stamp) == STAMP_NS
    assert nanoseconds(second.header.stamp) == STAMP_NS + 64_000_000  # 1024 samples at 16 kHz
    (bare,) = audio_messages([b"A"], Description("mpeg4-generic", 16_000, 97, {}), STAMP_NS, "scene")
    assert (bare.channels, bytes(bare.config)) == (0, b"")


@pytest.mark.parametrize(("kind", "shape", "step"), [(COLOUR, (4, 6, 3), 18), (GREY, (4, 6), 6)])
def test_pictures_raw_and_as_jpeg(kind, shape, step) -> None:
    pixels = np.full(shape, 90, np.uint8)
    raw = image_message(pixels, HEADER, kind)
    assert (raw.height, raw.width, raw.step, raw.encoding) == (4, 6, step, kind.encoding)
    assert bytes(raw.data) == pixels.tobytes()
    jpeg = jpeg_message(pixels, HEADER, kind, quality=90)
    assert jpeg.format == f"{kind.encoding}; jpeg compressed {kind.in_jpeg}"
    assert np.abs(to_rgb(jpeg).astype(int) - 90).max() <= 2
    assert nanoseconds(raw.header.stamp) == nanoseconds(jpeg.header.stamp) == STAMP_NS

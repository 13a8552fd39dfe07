"""Checks of the eye_tracker's parameters, without a node."""

from dataclasses import fields
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="parameters are declared through rclpy")

from gaze_vlm_ros.neon.address import BadAddress
from gaze_vlm_ros.nodes.eye_tracker_parameters import EyeTrackerParameters
from gaze_vlm_ros.nodes.parameters import BadParameter


def test_defaults_are_valid_and_each_parameter_is_described() -> None:
    given = EyeTrackerParameters()
    assert given.client_streams == ("world", "gaze", "imu", "eye_events")
    assert all(parameter.metadata["description"] for parameter in fields(given))


@pytest.mark.parametrize(
    ("values", "streams"),
    [
        ({"eye_events": False}, ("world", "gaze", "imu")),
        ({"streams": ("world", "audio")}, ("world", "audio")),  # eye events describe gaze
        ({"streams": ("gaze",)}, ("gaze", "eye_events")),
    ],
)
def test_eye_events_come_along_with_gaze(values: dict[str, Any], streams: tuple[str, ...]) -> None:
    assert EyeTrackerParameters(**values).client_streams == streams


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rtp_transport": "pigeon"}, "rtp_transport is 'pigeon', expected auto, udp or tcp"),
        ({"jpeg_quality": 0}, "jpeg_quality is 0, expected 1 to 100"),
        ({"jpeg_quality": 101}, "jpeg_quality is 101, expected 1 to 100"),
        ({"clock_period_s": 0.0}, "clock_period_s is 0, expected a number of seconds above 0"),
        ({"stream_timeout_s": -1.0}, "stream_timeout_s is -1, expected a number of seconds above 0"),
        ({"hold_s": float("inf")}, "hold_s is inf, expected a number of seconds above 0"),
        ({"discovery_timeout_s": float("nan")}, "discovery_timeout_s is nan, expected a number"),
        ({"connect_timeout_s": 0.0}, "connect_timeout_s is 0, expected a number"),
        ({"streams": ("gaze", "eye_events")}, "streams has eye_events, expected some of world, .*; set eye_events"),
        ({"eye_state_delay_s": 5.1}, "eye_state_delay_s is 5.1, expected 0 to 5 s"),
        ({"eye_state_delay_s": -0.1}, "eye_state_delay_s is -0.1, expected 0 to 5 s"),
    ],
)
def test_a_value_out_of_its_range_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(BadParameter, match=message):
        EyeTrackerParameters(**values)


def test_an_address_that_is_none_is_found_before_anything_starts() -> None:
    with pytest.raises(BadAddress, match=r"'neon\.local:x' is not host:port"):
        EyeTrackerParameters(address="neon.local:x")

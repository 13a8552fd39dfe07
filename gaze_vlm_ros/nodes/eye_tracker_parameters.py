"""Parameters of the eye_tracker node: defaults, descriptions and checks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from gaze_vlm_ros.neon.address import Address
from gaze_vlm_ros.neon.client import EYE_EVENTS, STREAMS
from gaze_vlm_ros.nodes.parameters import BadParameter, ParameterNode, declared_like

LONGEST_EYE_STATE_DELAY_S = 5.0  # eye_states remembers events for twice as long
TRANSPORTS = ("auto", "udp", "tcp")
_POSITIVE_SECONDS = ("clock_period_s", "stream_timeout_s", "hold_s", "discovery_timeout_s", "connect_timeout_s")


def _parameter(default: Any, description: str) -> Any:
    return field(default=default, metadata={"description": description})


@dataclass(frozen=True)
class EyeTrackerParameters:
    """Values of the parameters, checked. Raises BadParameter or BadAddress for a value out of its range."""

    address: str = _parameter(
        "", "host:port as in the app's menu, 'Streaming'; empty = the only device that announces itself"
    )
    discovery_timeout_s: float = _parameter(10.0, "[s] how long to search for a device when address is empty")
    connect_timeout_s: float = _parameter(
        15.0, "[s] how long to wait for the device's first answer; a connection lost later is retried forever"
    )
    streams: tuple[str, ...] = _parameter(
        ("world", "gaze", "imu"),
        f"streams to receive, any of {', '.join(STREAMS)}; eyes and audio cost Wi-Fi bandwidth",
    )
    rtp_transport: str = _parameter(
        "auto",
        "auto = as the device announces; udp; tcp = inside the RTSP connection, which passes firewalls and loses no "
        "packets on Wi-Fi",
    )
    frame_id: str = _parameter("scene_camera_optical_frame", "frame of scene images, camera_info and gaze")
    imu_frame_id: str = _parameter("neon_imu", "frame of the IMU's own axes")
    clock_period_s: float = _parameter(5.0, "[s] time between estimates of the phone's clock offset")
    stream_timeout_s: float = _parameter(
        5.0, "[s] without a packet until a stream counts as lost; twelve times as long for eye events"
    )
    hold_s: float = _parameter(10.0, "[s] longest wait of a sample for its acquisition time; then it is dropped")
    eye_events: bool = _parameter(
        True, "fill eye_state of gaze from the device's fixations, saccades and blinks, where it offers them"
    )
    eye_state_delay_s: float = _parameter(
        0.0, f"[s] 0 to {LONGEST_EYE_STATE_DELAY_S:g}, delay of gaze to wait for its eye state; 0 = live"
    )
    jpeg_quality: int = _parameter(90, "1 to 100, quality of the compressed images")
    delivered_log: str = _parameter(
        "", "JSON file for the stamp of every delivered sample, written at the end; empty = none"
    )
    wait_for_subscribers: tuple[str, ...] = _parameter(
        (), "topics that must have a subscriber before the streams start; [''] = none"
    )

    def __post_init__(self) -> None:
        if self.rtp_transport not in TRANSPORTS:
            raise BadParameter(f"rtp_transport is '{self.rtp_transport}', expected auto, udp or tcp")
        if not 1 <= self.jpeg_quality <= 100:
            raise BadParameter(f"jpeg_quality is {self.jpeg_quality}, expected 1 to 100")
        for name in _POSITIVE_SECONDS:
            if not 0 < (value := getattr(self, name)) < math.inf:
                raise BadParameter(f"{name} is {value:g}, expected a number of seconds above 0")
        if EYE_EVENTS in self.streams:
            raise BadParameter(
                f"streams has {EYE_EVENTS}, expected some of {', '.join(STREAMS)}; set eye_events instead"
            )
        if not 0 <= self.eye_state_delay_s <= LONGEST_EYE_STATE_DELAY_S:
            longest = f"0 to {LONGEST_EYE_STATE_DELAY_S:g}"
            raise BadParameter(f"eye_state_delay_s is {self.eye_state_delay_s:g}, expected {longest} s")
        if self.address:
            Address.parse(self.address)  # fail at once rather than after the subscribers have come

    @property
    def client_streams(self) -> tuple[str, ...]:
        """Streams to request from the device: eye events come along with gaze."""
        with_events = self.eye_events and "gaze" in self.streams
        return (*self.streams, *((EYE_EVENTS,) if with_events else ()))


def read_parameters(node: ParameterNode) -> EyeTrackerParameters:
    """Declare the node's parameters and return their values. Raises BadParameter or BadAddress."""
    if node.get_parameter("use_sim_time").value:
        raise BadParameter("use_sim_time is set, but glasses run in real time; unset it for this node")
    values: dict[str, Any] = {}
    for parameter in fields(EyeTrackerParameters):
        default = parameter.default
        if isinstance(default, tuple):  # ROS cannot tell the type of an empty list: [""] stands for it
            default = list(default) or [""]
        value = declared_like(node, parameter.name, default, parameter.metadata["description"])
        values[parameter.name] = tuple(value) if isinstance(value, list) else value
    values["wait_for_subscribers"] = tuple(filter(None, values["wait_for_subscribers"]))
    return EyeTrackerParameters(**values)

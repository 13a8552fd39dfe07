"""Read one packet of the glasses' data streams: gaze, motion, eye events, sound. The formats are the vendor's. Pure.

A payload with an unknown length, missing parts or impossible numbers raises UnreadableSample.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from pupil_labs.neon_recording.timeseries.imu.imu_pb2 import ImuPacket  # type: ignore[attr-defined]  # made at run time
from pupil_labs.realtime_api.streaming.base import RTSPData
from pupil_labs.realtime_api.streaming.eye_events import BlinkEventData, FixationEventData, FixationOnsetEventData
from pupil_labs.realtime_api.streaming.gaze import (
    BinoAndDualMonoGazeData,
    EyestateEyelidDualMonoGazeData,
    EyestateEyelidGazeData,
    EyestateGazeData,
    GazeData,
)
from pupil_labs.realtime_api.streaming.imu import IMUPacket_to_IMUData

# Format by the length of the payload in bytes. 17 is left out: separate gaze for each eye, with none for both.
GAZE_FORMATS: dict[int, Any] = {
    9: GazeData,
    25: BinoAndDualMonoGazeData,
    65: EyestateGazeData,
    89: EyestateEyelidGazeData,
    105: EyestateEyelidDualMonoGazeData,
}
SEPARATE_EYES_BYTES = 17
FARTHEST_PX = 1e5  # from the image's corner; a value farther away is not gaze
SACCADE, FIXATION, SACCADE_ONSET, FIXATION_ONSET, BLINK, KEEP_ALIVE = range(6)  # message types of the eye event stream
EVENT_FORMATS: dict[int, Any] = {
    SACCADE: FixationEventData,
    FIXATION: FixationEventData,
    SACCADE_ONSET: FixationOnsetEventData,
    FIXATION_ONSET: FixationOnsetEventData,
    BLINK: BlinkEventData,
}
LONGEST_EVENT_NS = 60_000_000_000  # a longer fixation or blink is a mistake


AAC_UNIT_SAMPLES = 1024  # of sound in one access unit of AAC-LC


class UnreadableSample(ValueError):
    """A payload that is not a sample of its stream."""


class Motion(NamedTuple):
    """One inertial sample, with its own acquisition time on the phone's clock."""

    data: Any  # pupil_labs IMUData
    device_ns: int


@dataclass(frozen=True)
class EyeEvent:
    """What the eyes began or finished, with times on the phone's clock. An onset has no end."""

    kind: int  # SACCADE to BLINK
    start_ns: int
    end_ns: int | None

    @property
    def known_ns(self) -> int:
        """Time of the last gaze sample that the event depends on."""
        return self.start_ns if self.end_ns is None else self.end_ns


def read_gaze(payload: bytes) -> Any:
    """Return one of GAZE_FORMATS. Raises UnreadableSample."""
    if len(payload) == SEPARATE_EYES_BYTES:
        raise UnreadableSample("the app streams separate gaze for each eye; set it to binocular gaze")
    if len(payload) not in GAZE_FORMATS:
        raise UnreadableSample(f"{len(payload)} bytes, expected {', '.join(map(str, GAZE_FORMATS))}")
    gaze = GAZE_FORMATS[len(payload)].from_raw(RTSPData(payload, math.nan))
    # NaN is allowed: no estimate for this sample.
    if abs(gaze.x) > FARTHEST_PX or abs(gaze.y) > FARTHEST_PX:
        raise UnreadableSample(f"gaze at {gaze.x:g}, {gaze.y:g} px")
    return gaze


def read_motion(payload: bytes) -> Motion:
    """Return an inertial sample. Raises UnreadableSample."""
    packet = ImuPacket()
    try:
        packet.ParseFromString(payload)
    except DecodeError as error:
        raise UnreadableSample(str(error)) from None
    if not (packet.HasField("accelData") and packet.HasField("gyroData")):
        raise UnreadableSample("no acceleration or no angular velocity")  # zeros would look like a sample
    data = IMUPacket_to_IMUData(packet)
    if not all(map(math.isfinite, (*data.accel_data, *data.gyro_data, *data.quaternion))):
        raise UnreadableSample("a value that is no number")
    return Motion(data, packet.tsNs)


def read_eye_event(payload: bytes) -> EyeEvent | None:
    """Return an eye event, None for a message that only keeps the stream alive. Raises UnreadableSample."""
    kind = struct.unpack_from("!i", payload)[0] if len(payload) >= 4 else None
    if kind == KEEP_ALIVE:
        return None
    if kind not in EVENT_FORMATS:
        raise UnreadableSample(f"eye event of type {kind}, expected 0 to {KEEP_ALIVE}")
    try:
        event = EVENT_FORMATS[kind].from_raw(RTSPData(payload, math.nan))
    except struct.error:
        raise UnreadableSample(f"{len(payload)} bytes for an eye event of type {kind}") from None
    end_ns = getattr(event, "end_time_ns", None)
    if end_ns is not None and not 0 <= end_ns - event.start_time_ns <= LONGEST_EVENT_NS:
        raise UnreadableSample(f"an eye event that lasts {(end_ns - event.start_time_ns) / 1e9:g} s")
    return EyeEvent(kind, event.start_time_ns, end_ns)


def read_sound(payload: bytes) -> list[bytes]:
    """Return the AAC access units of one packet (RFC 3640, AAC-hbr). Raises UnreadableSample."""
    header_bits = int.from_bytes(payload[:2], "big")
    header_bytes = (header_bits + 7) // 8
    sizes = [int.from_bytes(payload[at : at + 2], "big") >> 3 for at in range(2, 2 + header_bytes, 2)]
    if not sizes or header_bits % 16 or 2 + header_bytes + sum(sizes) != len(payload) or not all(sizes):
        raise UnreadableSample(f"{len(payload)} bytes that are no whole access units of AAC")
    starts = [2 + header_bytes + sum(sizes[:number]) for number in range(len(sizes))]
    return [payload[start : start + size] for start, size in zip(starts, sizes, strict=True)]


READERS: dict[str, Callable[[bytes], Any]] = {
    "gaze": read_gaze,
    "imu": read_motion,
    "eye_events": read_eye_event,
    "audio": read_sound,
}

"""What the simulated phone sends for each recorded sample: the streams of a recording and their RTP payloads."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from gaze_vlm_ros.neon.recording import NativeRecording, VideoPart
from gaze_vlm_ros.sim.neon_device import rtp
from gaze_vlm_ros.sim.neon_device.eye_events import EyeEvent, Kind
from gaze_vlm_ros.sim.neon_device.media_session import Stream

# Recorded stamp in ns, and a function from the stamp on the device's clock to the RTP payloads.
Samples = Iterator[tuple[int, Callable[[int], list[bytes]]]]

KEEP_ALIVE_S = 1.0  # between messages that only keep the eye event stream alive


def available_streams(recording: NativeRecording, with_eye_events: bool) -> dict[str, Stream]:
    """Return the streams that the recording can fill, by the app's names."""
    streams: dict[str, Stream] = {}
    for name, parts in (("world", recording.video), ("eyes", recording.eyes)):
        if parts:
            parameter_sets = parts[0].parameter_sets
            sprop = ",".join(base64.b64encode(unit).decode() for unit in parameter_sets)
            profile = parameter_sets[0][1:4].hex().upper()  # profile, constraints and level follow the SPS's first byte
            parameters = f"packetization-mode=1;profile-level-id={profile};sprop-parameter-sets={sprop};"
            streams[name] = Stream(name, "video", "H264", format_parameters=parameters)
    if (sound := recording.sound_format()) is not None:
        rate_hz, config = sound
        parameters = f"streamtype=5;mode=AAC-hbr;config={config.hex()};sizeLength=13;indexLength=3;indexDeltaLength=3"
        streams["audio"] = Stream("audio", "audio", "mpeg4-generic", rate_hz, 97, parameters)
    if recording.gaze.stamps_ns.size:
        streams["gaze"] = Stream("gaze", "application", "com.pupillabs.gaze1", payload_type=99)
    if recording.imu.stamps_ns.size:
        streams["imu"] = Stream("imu", "application", "com.pupillabs.imu1", payload_type=100)
    if with_eye_events:
        streams["eye_events"] = Stream("eye_events", "application", "com.pupillabs.eye_events1", payload_type=101)
    return streams


def video_payloads(parts: Sequence[VideoPart]) -> Samples:
    """Yield each frame's NAL units, cut into RTP payloads."""
    for part in parts:
        for stamp_ns, is_keyframe, units in part.access_units():
            if is_keyframe:  # parameter sets in band too: a later part may have others, and a late client needs them
                units = [*part.parameter_sets, *units]
            payloads = [payload for unit in units for payload in rtp.packetize_nal_unit(unit)]
            yield stamp_ns, lambda _, payloads=payloads: payloads  # type: ignore[misc]


def sound_payloads(recording: NativeRecording) -> Samples:
    """Yield one AAC access unit in each packet, after its header (RFC 3640 3.2.1)."""
    for stamp_ns, unit in recording.sound():
        payload = struct.pack("!HH", 16, len(unit) << 3) + unit
        yield stamp_ns, lambda _, payload=payload: [payload]  # type: ignore[misc]


def gaze_payloads(recording: NativeRecording) -> Samples:
    """Yield two floats, the worn byte and, where recorded, the eye state, in network byte order."""
    gaze = recording.gaze
    for stamp_ns, (x, y), worn in zip(gaze.stamps_ns.tolist(), gaze.xy_px.tolist(), gaze.worn.tolist(), strict=True):
        payload = struct.pack("!ffB", x, y, 255 if worn else 0)
        eye_state = gaze.eye_state.get(stamp_ns)
        if eye_state is not None:
            payload += eye_state.astype(">f4").tobytes()
        yield stamp_ns, lambda _, payload=payload: [payload]  # type: ignore[misc]


def imu_payloads(recording: NativeRecording) -> Samples:
    """Yield protobuf messages, which carry a stamp that the client uses instead of RTP's."""
    from pupil_labs.neon_recording.timeseries.imu.imu_pb2 import ImuPacket  # type: ignore[attr-defined]  # made at run time

    imu = recording.imu
    for index, stamp_ns in enumerate(imu.stamps_ns.tolist()):
        packet = ImuPacket()
        packet.accelData.x, packet.accelData.y, packet.accelData.z = imu.acceleration_g[index]
        packet.gyroData.x, packet.gyroData.y, packet.gyroData.z = imu.angular_velocity_deg_s[index]
        rotation = packet.rotVecData
        rotation.x, rotation.y, rotation.z, rotation.w = imu.quaternion_xyzw[index]

        def serialize(device_ns: int, packet: Any = packet) -> list[bytes]:
            packet.tsNs = device_ns
            return [packet.SerializeToString()]

        yield stamp_ns, serialize


def eye_event_payloads(events: list[EyeEvent], first_ns: int, last_ns: int) -> Samples:
    """Yield the events when they become known, and keep-alive messages throughout."""
    alive = [EyeEvent(Kind.KEEP_ALIVE, stamp_ns) for stamp_ns in range(first_ns, last_ns, round(KEEP_ALIVE_S * 1e9))]
    for event in sorted([*events, *alive], key=lambda event: event.known_ns):
        yield event.known_ns, lambda device_ns, event=event: [event.payload(device_ns - event.known_ns)]  # type: ignore[misc]

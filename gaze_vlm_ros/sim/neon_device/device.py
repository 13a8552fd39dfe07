"""The simulated phone: replays a recording on its own clock to whoever connects."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from gaze_vlm_ros.neon_recording import NativeRecording
from gaze_vlm_ros.sim.neon_device import rtp
from gaze_vlm_ros.sim.neon_device.clock import SkewedClock
from gaze_vlm_ros.sim.neon_device.http_api import HttpApi
from gaze_vlm_ros.sim.neon_device.rtsp_server import RtspServer, Stream
from gaze_vlm_ros.sim.neon_device.time_echo import start_time_echo

logger = logging.getLogger(__name__)

Samples = Iterator[tuple[int, list[bytes]]]  # recorded stamp in ns, RTP payloads

START_DELAY_S = 1.0  # from the last PLAY to the first sample, so that a client's streams all start with the recording
FLUSH_S = 0.3  # for the last packets to arrive before the goodbye


@dataclass(frozen=True)
class DeviceSettings:
    """Where the device listens, how its clock errs, and how it replays."""

    host: str = "127.0.0.1"
    port: int = 8080  # of the app; 0 takes a free one
    rtsp_port: int = 0  # 8086 in the app; 0 takes a free one
    clock: SkewedClock = field(default_factory=SkewedClock)
    transport: str = "udp"  # "tcp": the status announces `rtspt`, on which the client asks for interleaved RTP
    once: bool = False  # otherwise the recording starts again when it ends
    latency_s: float = 0.03  # from acquisition to sending; a phone needs about as long to encode and to estimate gaze


class NeonDevice:
    """Serves one recording; use as `async with NeonDevice(recording, settings) as device`.

    The replay begins START_DELAY_S after the last PLAY before it. A sample that the recording has at r ns after its
    first one is acquired at `session_starts_ns[-1] + r` on the device's clock, and sent `latency_s` later.
    """

    def __init__(self, recording: NativeRecording, settings: DeviceSettings) -> None:
        self.recording = recording
        self.settings = settings
        self.clock = settings.clock
        self.session_starts_ns: list[int] = []  # device time of the recording's first sample, one for each pass
        self.finished = asyncio.Event()  # after the last sample of `once`
        self.streams = _streams(recording)
        self._last_play_s: float | None = None
        self._rtsp = RtspServer(list(self.streams.values()), self.clock, self._played)
        self._http = HttpApi(recording, "rtspt" if settings.transport == "tcp" else "rtsp")
        self._time_echo: asyncio.Server | None = None
        self._replay: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """Of the REST API."""
        return self._http.port

    async def __aenter__(self) -> NeonDevice:
        host = self.settings.host
        self._time_echo = await start_time_echo(self.clock, host)
        self._http.time_echo_port = self._time_echo.sockets[0].getsockname()[1]
        await self._rtsp.start(host, self.settings.rtsp_port)
        self._http.rtsp_port = self._rtsp.port
        self._http.sensors = dict.fromkeys(self.streams, True)
        await self._http.start(host, self.settings.port)
        self._replay = asyncio.get_running_loop().create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._replay is not None
        assert self._time_echo is not None
        self._replay.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._replay
        self._time_echo.close()
        await self._http.set_connected(False)
        await self._rtsp.stop()
        await self._http.stop()

    def _played(self, stream: Stream) -> None:
        logger.info("%s is being played", stream.name)
        self._last_play_s = asyncio.get_running_loop().time()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._last_play_s is None or loop.time() < self._last_play_s + START_DELAY_S:
            await asyncio.sleep(0.02)
        first_ns, last_ns = self.recording.span_ns
        while True:
            start_ns = self.clock.now_ns()
            self.session_starts_ns.append(start_ns)
            shift_ns = start_ns - first_ns
            await asyncio.gather(self._replay_video(shift_ns), self._replay_gaze(shift_ns), self._replay_imu(shift_ns))
            if self.settings.once:
                await asyncio.sleep(FLUSH_S)
                self.finished.set()
                return
            await self._wait_until(start_ns + last_ns - first_ns + 33_000_000)  # about a frame between two passes

    async def _wait_until(self, device_ns: int) -> None:
        """Sleep until a moment of the device's clock."""
        while (wait_ns := device_ns - self.clock.now_ns()) > 0:
            await asyncio.sleep(min(wait_ns / 1e9, 0.5))  # in short naps: its clock and the loop's drift apart

    async def _send_all(self, stream: Stream, samples: Samples, shift_ns: int) -> None:
        latency_ns = round(self.settings.latency_s * 1e9)
        for stamp_ns, payloads in samples:
            await self._wait_until(stamp_ns + shift_ns + latency_ns)
            await stream.send(stamp_ns + shift_ns, payloads)

    async def _replay_video(self, shift_ns: int) -> None:
        if "world" not in self.streams:
            return
        await self._send_all(self.streams["world"], _video_payloads(self.recording), shift_ns)
        # A receiver knows that a frame is complete when the next one begins; the last has none.
        for session in self.streams["world"].sessions:
            session.send_rtp(self.clock.now_ns(), rtp.ACCESS_UNIT_DELIMITER, marker=False)

    async def _replay_gaze(self, shift_ns: int) -> None:
        if "gaze" in self.streams:
            await self._send_all(self.streams["gaze"], _gaze_payloads(self.recording), shift_ns)

    async def _replay_imu(self, shift_ns: int) -> None:
        if "imu" in self.streams:
            await self._send_all(self.streams["imu"], _imu_payloads(self.recording, shift_ns), shift_ns)


def _streams(recording: NativeRecording) -> dict[str, Stream]:
    """The streams that the recording can fill, by the app's names."""
    streams = {}
    if recording.video:
        parameter_sets = recording.video[0].parameter_sets
        sprop = ",".join(base64.b64encode(unit).decode() for unit in parameter_sets)
        profile = parameter_sets[0][1:4].hex().upper()  # profile, constraints and level follow the SPS's first byte
        parameters = f"packetization-mode=1;profile-level-id={profile};sprop-parameter-sets={sprop};"
        streams["world"] = Stream("world", "video", "H264", format_parameters=parameters)
    if recording.gaze.stamps_ns.size:
        streams["gaze"] = Stream("gaze", "application", "com.pupillabs.gaze1", payload_type=99)
    if recording.imu.stamps_ns.size:
        streams["imu"] = Stream("imu", "application", "com.pupillabs.imu1", payload_type=100)
    return streams


def _video_payloads(recording: NativeRecording) -> Samples:
    for part in recording.video:
        for stamp_ns, is_keyframe, units in part.access_units():
            if is_keyframe:  # parameter sets in band too: a later part may have others, and a late client needs them
                units = [*part.parameter_sets, *units]
            yield stamp_ns, [payload for unit in units for payload in rtp.packetize_nal_unit(unit)]


def _gaze_payloads(recording: NativeRecording) -> Samples:
    """Two floats, the worn byte and, where recorded, the eye state, in network byte order."""
    gaze = recording.gaze
    for stamp_ns, (x, y), worn in zip(gaze.stamps_ns.tolist(), gaze.xy_px.tolist(), gaze.worn.tolist(), strict=True):
        payload = struct.pack("!ffB", x, y, 255 if worn else 0)
        eye_state = gaze.eye_state.get(stamp_ns)
        if eye_state is not None:
            payload += eye_state.astype(">f4").tobytes()
        yield stamp_ns, [payload]


def _imu_payloads(recording: NativeRecording, shift_ns: int) -> Samples:
    """Protobuf messages that carry their own stamp, which the client uses in place of RTP's."""
    from pupil_labs.neon_recording.timeseries.imu.imu_pb2 import ImuPacket  # type: ignore[attr-defined]  # made at run time

    imu = recording.imu
    for index, stamp_ns in enumerate(imu.stamps_ns.tolist()):
        packet = ImuPacket(tsNs=stamp_ns + shift_ns)
        packet.accelData.x, packet.accelData.y, packet.accelData.z = imu.acceleration_g[index]
        packet.gyroData.x, packet.gyroData.y, packet.gyroData.z = imu.angular_velocity_deg_s[index]
        rotation = packet.rotVecData
        rotation.x, rotation.y, rotation.z, rotation.w = imu.quaternion_xyzw[index]
        yield stamp_ns, [packet.SerializeToString()]

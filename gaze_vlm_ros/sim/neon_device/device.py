"""The simulated phone: replays a recording on its own clock to whoever connects."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from gaze_vlm_ros.neon.recording import NativeRecording, VideoPart
from gaze_vlm_ros.sim.neon_device import rtp
from gaze_vlm_ros.sim.neon_device.clock import PhoneClock, SkewedClock
from gaze_vlm_ros.sim.neon_device.eye_events import read_eye_events
from gaze_vlm_ros.sim.neon_device.faults import Fault
from gaze_vlm_ros.sim.neon_device.http_api import HttpApi
from gaze_vlm_ros.sim.neon_device.media_session import Stream
from gaze_vlm_ros.sim.neon_device.payloads import (
    Samples,
    available_streams,
    eye_event_payloads,
    gaze_payloads,
    imu_payloads,
    sound_payloads,
    video_payloads,
)
from gaze_vlm_ros.sim.neon_device.rtsp_server import RtspServer
from gaze_vlm_ros.sim.neon_device.time_echo import start_time_echo
from gaze_vlm_ros.sim.neon_device.wire import ALL, Faults

logger = logging.getLogger(__name__)

FLUSH_S = 0.3  # for the last packets to arrive before the goodbye


@dataclass(frozen=True)
class DeviceSettings:
    """Where the device listens, how its clock errs, and how it replays."""

    host: str = "127.0.0.1"
    port: int = 8080  # of the app; 0 takes a free one
    rtsp_port: int = 0  # 8086 in the app; 0 takes a free one
    clock: SkewedClock = field(default_factory=SkewedClock)
    host_now_ns: Callable[[], int] = time.time_ns  # this host's clock
    transport: str = "udp"  # "tcp": the status announces `rtspt`, on which the client asks for interleaved RTP
    once: bool = False  # otherwise the recording starts again when it ends
    start_delay_s: float = 1.0  # from the last PLAY to the first sample, so that all streams start with the recording
    latency_s: float = 0.03  # from acquisition to sending; a phone needs about as long to encode and to estimate gaze
    eye_event_latency_s: float = 0.05  # more, from the gaze that completes an event to sending it; an assumption
    faults: Faults = field(default_factory=Faults)
    schedule: tuple[Fault, ...] = ()


class NeonDevice:
    """Serves one recording; use as `async with NeonDevice(recording, settings) as device`.

    The replay begins `start_delay_s` after the last PLAY before it. A sample that the recording has at r ns after its
    first one is acquired at `session_starts_ns[-1] + r` on the device's clock, and sent `latency_s` later.
    `clock` is the device's clock as if nobody had set it; `phone_clock` is what the phone shows.
    """

    def __init__(self, recording: NativeRecording, settings: DeviceSettings) -> None:
        self.recording = recording
        self.settings = settings
        self.clock = settings.clock
        self.phone_clock = PhoneClock(settings.clock, settings.host_now_ns)
        self.session_starts_ns: list[int] = []  # device time of the recording's first sample, for each pass
        self.finished = asyncio.Event()  # after the last sample of `once`
        self.eye_events = read_eye_events(recording.folder)
        self.streams = available_streams(recording, bool(self.eye_events))
        self._last_play_s: float | None = None
        self._rtsp = RtspServer(list(self.streams.values()), self.phone_clock, settings.faults, self._played)
        self._http = HttpApi(recording, "rtspt" if settings.transport == "tcp" else "rtsp", settings.faults)
        self._time_echo: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def port(self) -> int:
        """Port of the REST API."""
        return self._http.port

    async def __aenter__(self) -> NeonDevice:
        host = self.settings.host
        self._time_echo = await start_time_echo(self.phone_clock, host)
        self._http.time_echo_port = self._time_echo.sockets[0].getsockname()[1]
        await self._rtsp.start(host, self.settings.rtsp_port)
        self._http.rtsp_port = self._rtsp.port
        self._http.sensors = {name: True for name in self.streams if name != "audio"}  # it comes with the video
        await self._http.start(host, self.settings.port)
        for fault in self.settings.schedule:
            if fault.at_s is None:
                self._start(self._apply(fault))
        self._start(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._time_echo is not None
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._time_echo.close()
        await self._http.set_connected(False)
        await self._rtsp.stop()
        await self._http.stop()

    async def plug(self, connected: bool, *names: str) -> None:
        """Connect or disconnect sensors, all of them unless named."""
        silent = self.settings.faults.silent
        for name in names or (ALL,):
            (silent.discard if connected else silent.add)(name)
        await self._http.set_connected(connected, *names)

    def abort_connections(self) -> None:
        """Cut off every stream without a goodbye."""
        self._rtsp.abort()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    def _played(self, stream: Stream) -> None:
        logger.info("%s is being played", stream.name)
        self._last_play_s = asyncio.get_running_loop().time()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._last_play_s is None or loop.time() < self._last_play_s + self.settings.start_delay_s:
            await asyncio.sleep(0.02)
        for fault in self.settings.schedule:
            if fault.at_s is not None:
                self._start(self._at(fault.at_s, fault))
        first_ns, last_ns = self.recording.span_ns
        while True:
            start_ns = self.clock.device_ns(self.settings.host_now_ns())
            self.session_starts_ns.append(start_ns)
            shift_ns = start_ns - first_ns
            await asyncio.gather(
                self._replay_video("world", self.recording.video, shift_ns),
                self._replay_video("eyes", self.recording.eyes, shift_ns),
                self._send_all("audio", sound_payloads(self.recording), shift_ns),
                self._send_all("gaze", gaze_payloads(self.recording), shift_ns),
                self._send_all("imu", imu_payloads(self.recording), shift_ns),
                self._send_all("eye_events", eye_event_payloads(self.eye_events, first_ns, last_ns), shift_ns),
            )
            if self.settings.once:
                await asyncio.sleep(FLUSH_S)
                self.finished.set()
                return
            # About a frame between two passes.
            await self._wait_until(self.clock.host_ns(start_ns + last_ns - first_ns + 33_000_000))

    async def _at(self, seconds: float, fault: Fault) -> None:
        await asyncio.sleep(seconds)
        await self._apply(fault)

    async def _apply(self, fault: Fault) -> None:
        """Turn the fault's switch, or run its event to its end."""
        faults = self.settings.faults
        if fault.turn(faults):
            return
        if fault.name == "clock":
            self.phone_clock.set_by(float(fault.value))
        elif fault.name == "abort":
            self.abort_connections()
        elif fault.name == "silent":
            faults.silent.add(ALL)
            await asyncio.sleep(float(fault.value))
            faults.silent.discard(ALL)
        elif fault.name == "refuse":
            faults.refusing = True
            await asyncio.sleep(float(fault.value))
            faults.refusing = False
        else:
            await self.plug(False)
            await asyncio.sleep(float(fault.value))
            await self.plug(True)

    async def _wait_until(self, host_ns: int) -> None:
        while (wait_ns := host_ns - self.settings.host_now_ns()) > 0:
            await asyncio.sleep(min(wait_ns / 1e9, 0.5))  # in short naps: the host's clock and the loop's drift apart

    async def _send_all(self, name: str, samples: Samples, shift_ns: int) -> None:
        stream = self.streams.get(name)
        if stream is None:
            return
        faults = self.settings.faults
        first_ns, last_ns = self.recording.span_ns
        latency_s = self.settings.latency_s + (self.settings.eye_event_latency_s if name == "eye_events" else 0)
        within = ((stamp_ns, payloads) for stamp_ns, payloads in samples if first_ns <= stamp_ns <= last_ns)
        for index, (stamp_ns, payloads) in enumerate(within):
            host_ns = self.clock.host_ns(stamp_ns + shift_ns)
            await self._wait_until(host_ns + round(latency_s * 1e9))
            device_ns = self.phone_clock.device_ns(host_ns) if faults.stamps_follow_clock else stamp_ns + shift_ns
            if faults.stamp_error_s and index % faults.stamp_error_every == faults.stamp_error_every - 1:
                device_ns += round(faults.stamp_error_s * 1e9)
            if not faults.silent & {ALL, name}:
                stream.sent.append((stamp_ns, host_ns))
                await stream.send(device_ns, payloads(device_ns))

    async def _replay_video(self, name: str, parts: Sequence[VideoPart], shift_ns: int) -> None:
        if name not in self.streams:
            return
        await self._send_all(name, video_payloads(parts), shift_ns)
        # A receiver knows that a frame is complete when the next one begins; the last has none.
        for session in self.streams[name].sessions:
            session.send_rtp(self.phone_clock.now_ns(), rtp.ACCESS_UNIT_DELIMITER, marker=False)

"""Receive what a Neon or Pupil Invisible streams, through the vendor's client. No ROS.

One asyncio task follows each stream and reconnects with growing pauses when it ends; one keeps the offset between the
phone's clock and this host's; one listens to the phone's status.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from pupil_labs.neon_recording.calib import Calibration
from pupil_labs.realtime_api import Device
from pupil_labs.realtime_api.models import APIPath, ConnectionType, SensorName

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.neon.address import Address, is_other_host, with_host
from gaze_vlm_ros.neon.clock_follower import ClockFollower
from gaze_vlm_ros.neon.connection_errors import CONNECTION_ERRORS, reason
from gaze_vlm_ros.neon.device_clock import DeviceClock
from gaze_vlm_ros.neon.rtsp_client import follow_stream
from gaze_vlm_ros.neon.status_watch import StatusWatch, first_status, request, request_status, time_echo_port
from gaze_vlm_ros.neon.stream import CLOCK_SET, EVENTS_MISSING, VIDEOS, NeonStream
from gaze_vlm_ros.neon.time_echo import REQUEST_TIMEOUT_S
from gaze_vlm_ros.video.h264 import frame_size

STREAMS = ("world", "gaze", "imu", "eyes", "audio")
EYE_EVENTS = "eye_events"
MAX_NAMED_HOSTS = 20  # that are remembered, so that each is reported once
LARGEST_FRAME_PX = 16384  # a side; a description that says more is wrong
SILENT_FACTOR_OF_EVENTS = 12  # resting eyes make few events, and messages that only keep the stream alive are rare


class UnknownStream(GazeVlmError):
    """A requested stream is none that the glasses have."""


@dataclass
class StreamState:
    """How one stream fares."""

    stream: NeonStream
    lost: str = ""  # why, until it delivers again
    connections: int = 0  # that have ended
    wake: asyncio.Event = field(default_factory=asyncio.Event)  # reconnect without waiting


@dataclass
class NeonClient:
    """Follows one device; `run` until cancelled.

    `receive(stream, datum, device_ns, host_ns)` gets what is known to be right, with its acquisition time on the
    phone's clock and on this host's, as stream.NeonStream delivers it; it is called in the event loop and should be
    quick. `notice(is_good, text)` gets one line when something is lost or back. Raises UnknownStream.
    """

    address: Address
    streams: tuple[str, ...]  # of STREAMS; also EYE_EVENTS, which is left out where the device has none
    receive: Callable[[str, Any, int, int], None]
    notice: Callable[[bool, str], None]
    clock: DeviceClock = field(default_factory=DeviceClock)
    clock_period_s: float = 5.0  # between estimates of the phone's clock
    connect_timeout_s: float = 15.0  # for the first answer
    silent_s: float = 5.0  # without a packet until a stream counts as lost
    pauses_s: tuple[float, float] = (0.5, 8.0)  # between attempts to connect: the first, the longest
    hold_s: float = 10.0  # longest wait of a sample for its time
    transport: str = "auto"  # of RTP: "udp", "tcp" (interleaved), "auto" = what the device announces
    now_ns: Callable[[], int] = time.time_ns  # this host's clock
    steady_ns: Callable[[], int] = time.monotonic_ns  # a clock of this host that nobody sets
    calibration: Any = None  # pupil_labs Calibration, once connected; None where the device has none
    frame_size: tuple[int, int] | None = None  # (width, height) px of the scene video, once known
    states: dict[str, StreamState] = field(default_factory=dict)
    _world_described: asyncio.Event = field(default_factory=asyncio.Event)
    _named_hosts: set[str] = field(default_factory=set)  # other hosts that the phone named for its streams

    def __post_init__(self) -> None:
        for name in self.streams:
            if name not in (*STREAMS, EYE_EVENTS):
                raise UnknownStream(f"stream '{name}' is none of {', '.join(STREAMS)}")
        self._clock_follower = ClockFollower(
            self.address,
            self.notice,
            lambda: [state.stream for state in self.states.values()],
            self.clock,
            self.now_ns,
            self.steady_ns,
            self.clock_period_s,
        )
        for name in self.streams:
            opened = functools.partial(self._opened, name)
            stream = NeonStream(name, self._clock_follower.state, self._take, opened, self.hold_s)
            self.states[name] = StreamState(stream)

    def age_ns(self, device_ns: int) -> int:
        """Return how long ago a moment of the phone's clock was. Raises LookupError before it is known."""
        return self._clock_follower.age_ns(device_ns)

    async def run(self) -> None:
        """Connect and follow the device. Raises DeviceUnreachable or ClockUnknown when the first connection fails."""
        first_pause_s, longest_pause_s = self.pauses_s
        async with Device(self.address.host, self.address.port) as device:
            status = await first_status(device, self.address, self.connect_timeout_s, first_pause_s)
            self.notice(True, f"connected to {status.phone.device_name} at {self.address}")
            self._clock_follower.port = time_echo_port(status)
            await self._clock_follower.begin(first_pause_s)
            await self._fetch_calibration(device)
            if EYE_EVENTS in self.states and not any(sensor.sensor == EYE_EVENTS for sensor in status.sensors):
                del self.states[EYE_EVENTS]
                self.notice(True, "the device offers no eye events: the eye state stays unknown")
            if "world" not in self.states:
                self._world_described.set()
            watch = StatusWatch(self._sensor_changed).follow(
                device.api_url(APIPath.STATUS, protocol="ws"), longest_pause_s
            )
            following = [self.follow(name, device) for name in self.states]
            await asyncio.gather(self._clock_follower.follow(), watch, *following)

    async def follow(self, name: str, device: Device) -> NoReturn:
        """Receive one stream forever."""
        state = self.states[name]
        first_pause_s, longest_pause_s = self.pauses_s
        pause_s = first_pause_s
        if name != "world":  # gaze is in pixels of a frame whose size is in the video's description
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._world_described.wait(), REQUEST_TIMEOUT_S)
        while True:
            delivered = state.stream.delivered
            try:
                await self.connect(name, device, is_again=state.connections > 0)
            except CONNECTION_ERRORS as error:
                why = reason(error)
            finally:
                state.stream.closed()
            if not state.lost:
                self.notice(False, f"stream {name} lost ({why}); trying to connect again")
            state.lost = why
            state.connections += 1
            if state.stream.delivered > delivered:
                pause_s = first_pause_s
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(state.wake.wait(), pause_s)
            state.wake.clear()
            pause_s = min(2 * pause_s, longest_pause_s)

    async def connect(self, name: str, device: Device, is_again: bool) -> NoReturn:
        """Play a stream until it breaks. Raises one of CONNECTION_ERRORS."""
        status = await request_status(device)
        self._clock_follower.port = time_echo_port(status)
        if is_again and not await self._clock_follower.estimate():  # the phone may have restarted with another time
            raise ConnectionError("the phone does not answer time echoes")
        sensor = next(status.matching_sensors(SensorName(name), ConnectionType.DIRECT), None)
        if sensor is None or sensor.url is None:
            raise ConnectionError("the sensor is not connected to the phone")
        url = self._own_url(name, sensor.url)
        if self.transport != "auto":
            url = ("rtspt" if self.transport == "tcp" else "rtsp") + url[url.index("://") :]
        silent_s = self.silent_s * (SILENT_FACTOR_OF_EVENTS if name == EYE_EVENTS else 1)
        media = "video" if name in VIDEOS else "audio" if name == "audio" else None
        await follow_stream(url, self.states[name].stream, silent_s, media)

    def _own_url(self, name: str, url: str) -> str:
        """Return a stream's address at the phone itself: it may name any host, and no other one is connected to."""
        try:
            own, named = with_host(url, self.address.host)
        except ValueError as error:
            raise ConnectionError(f"the phone gives it the address {url!r:.200} ({error})") from None
        if named not in self._named_hosts and is_other_host(named, self.address.host):
            self._named_hosts = {*self._named_hosts, named} if len(self._named_hosts) < MAX_NAMED_HOSTS else {named}
            self.notice(False, f"the phone names the host {named:.100} for stream {name}: its own address is used")
        return own

    async def _fetch_calibration(self, device: Device) -> None:
        try:
            self.calibration = Calibration.from_buffer(await request(device, APIPath.CALIBRATION))
        except Exception as error:  # Pupil Invisible has none, and the vendor's parser fails anywhere
            self.notice(False, f"the device sends no camera calibration ({reason(error)}): camera_info stays empty")

    def _sensor_changed(self, name: str, is_connected: bool) -> None:
        if name in self.states:
            self.notice(is_connected, f"sensor {name} {'is connected again' if is_connected else 'was disconnected'}")
            if is_connected:
                self.states[name].wake.set()

    def _opened(self, name: str) -> None:
        """Read the size of the frames from the stream's description, before the first frame."""
        if name == "world":
            with contextlib.suppress(IndexError):  # none there, or an unusual one: the first frame will show it
                size = frame_size(self.states[name].stream.decoder.parameter_sets[0])
                if size is not None and all(0 < side <= LARGEST_FRAME_PX for side in size):
                    self.frame_size = size
            self._world_described.set()

    def _take(self, name: str, datum: Any, device_ns: int, host_ns: int) -> None:
        state = self.states[name]
        if state.lost and datum not in (EVENTS_MISSING, CLOCK_SET):
            state.lost = ""
            self.notice(True, f"stream {name} is back")
        if name == "world":
            self.frame_size = (datum.av_frame.width, datum.av_frame.height)
        self.receive(name, datum, device_ns, host_ns)

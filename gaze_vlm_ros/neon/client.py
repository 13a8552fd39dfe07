"""Receive what a Neon or Pupil Invisible streams, through the vendor's client. No ROS.

One asyncio task follows each stream and connects again with growing pauses when it ends; one keeps the offset between
the phone's clock and this host's; one listens to the phone's status.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import aiohttp
import websockets
from pupil_labs.realtime_api import Device
from pupil_labs.realtime_api.device import DeviceError
from pupil_labs.realtime_api.models import (
    APIPath,
    ConnectionType,
    Sensor,
    SensorName,
    Status,
    parse_component,
)

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.neon.address import Address
from gaze_vlm_ros.neon.clock_state import MOVED_NS, ClockState
from gaze_vlm_ros.neon.device_clock import DeviceClock, TimeEcho, estimate_offset
from gaze_vlm_ros.neon.rtsp_client import follow_stream
from gaze_vlm_ros.neon.stream import CLOCK_SET, EVENTS_MISSING, VIDEOS, NeonStream
from gaze_vlm_ros.neon.time_echo import ECHOES, REQUEST_TIMEOUT_S, take_echoes
from gaze_vlm_ros.video.h264 import frame_size

STREAMS = ("world", "gaze", "imu", "eyes", "audio")
EYE_EVENTS = "eye_events"
CHECK_PAUSE_S = 0.1  # between estimates of the offset while it is in doubt
LARGEST_FRAME_PX = 16384  # a side; a description that says more is wrong
SILENT_FACTOR_OF_EVENTS = 12  # eyes that rest, and seldom a message that only keeps the stream alive
FIRST_ESTIMATES = 5  # before the first sample, until one is certain enough
QUICK_ECHOES = 5  # tell whether a clock was set, though not by how much to the tenth of a millisecond

# What the client and its libraries raise when a phone is gone, busy or none.
CONNECTION_ERRORS = (
    OSError,
    TimeoutError,
    asyncio.TimeoutError,
    EOFError,
    DeviceError,
    aiohttp.ClientError,
    websockets.WebSocketException,
)


class DeviceUnreachable(GazeVlmError):
    """No device answered at the address that was given."""


class ClockUnknown(GazeVlmError):
    """The phone does not say what time it has, so no stamp of it can be used."""


class UnknownStream(GazeVlmError):
    """A stream was asked for that the glasses do not have."""


@dataclass
class StreamState:
    """How one stream fares."""

    stream: NeonStream
    lost: str = ""  # why, until it delivers again
    connections: int = 0  # that have ended
    wake: asyncio.Event = field(default_factory=asyncio.Event)  # connect again without waiting


@dataclass
class NeonClient:
    """Follows one device; `run` until cancelled.

    `receive(stream, datum, device_ns, host_ns)` gets what is known to be right, with its acquisition time on the
    phone's clock and on this host's, as neon_stream.NeonStream delivers it; it is called in the event loop and should
    be quick. `notice(is_good, text)` gets one line when something is lost or back.
    """

    address: Address
    streams: tuple[str, ...]  # of STREAMS; EYE_EVENTS too, which is left out where the device has none
    receive: Callable[[str, Any, int, int], None]
    notice: Callable[[bool, str], None]
    clock: DeviceClock = field(default_factory=DeviceClock)
    clock_period_s: float = 5.0
    connect_timeout_s: float = 15.0
    silent_s: float = 5.0  # without a packet, a stream counts as dead
    pauses_s: tuple[float, float] = (0.5, 8.0)  # between attempts to connect: the first, the longest
    hold_s: float = 10.0  # a sample's longest wait for its time
    transport: str = "auto"  # of RTP: "udp", "tcp" (interleaved), "auto" = what the device announces
    now_ns: Callable[[], int] = time.time_ns  # this host's clock
    steady_ns: Callable[[], int] = time.monotonic_ns  # a clock of this host that nobody sets
    calibration: Any = None  # pupil_labs Calibration, once connected; None where the device has none
    frame_size: tuple[int, int] | None = None  # (width, height) px of the scene video, once known
    time_echo_port: int | None = None
    states: dict[str, StreamState] = field(default_factory=dict)
    _world_described: asyncio.Event = field(default_factory=asyncio.Event)
    _asked: asyncio.Event = field(default_factory=asyncio.Event)  # to look at the phone's clock at once
    _estimating: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        for name in self.streams:
            if name not in (*STREAMS, EYE_EVENTS):
                raise UnknownStream(f"stream '{name}' is none of {', '.join(STREAMS)}")
        self._clock_state = ClockState(self.clock, self.now_ns, self._asked.set, self.steady_ns)
        for name in self.streams:
            opened = functools.partial(self._opened, name)
            self.states[name] = StreamState(NeonStream(name, self._clock_state, self._take, opened, self.hold_s))

    def age_ns(self, device_ns: int) -> int:
        """Return how long ago on this host's clock a moment of the phone's clock was."""
        return self.now_ns() - self.clock.to_host_ns(device_ns)

    async def run(self) -> None:
        """Connect and follow the device. Raises DeviceUnreachable or ClockUnknown when the first connection fails."""
        async with Device(self.address.host, self.address.port) as device:
            status = await self._first_status(device)
            self.notice(True, f"connected to {status.phone.device_name} at {self.address}")
            self.time_echo_port = _port(status.phone.time_echo_port)
            await self._first_offset()
            await self._fetch_calibration(device)
            if EYE_EVENTS in self.states and not any(sensor.sensor == EYE_EVENTS for sensor in status.sensors):
                del self.states[EYE_EVENTS]
                self.notice(True, "the device offers no eye events: the eye state stays unknown")
            if "world" not in self.states:
                self._world_described.set()
            following = [self._follow(name, device) for name in self.states]
            await asyncio.gather(self._follow_clock(), self._follow_status(device), *following)

    async def _first_status(self, device: Device) -> Status:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self.connect_timeout_s
        while True:
            try:
                return await _status(device)
            except CONNECTION_ERRORS as error:
                if loop.time() > deadline_s:
                    raise DeviceUnreachable(
                        f"no glasses answer at {self.address} ({_reason(error)}); is the app open, and is this the "
                        "address shown in its menu, 'Streaming'?"
                    ) from None
                await asyncio.sleep(self.pauses_s[0])

    async def _first_offset(self) -> None:
        if not self.time_echo_port:
            raise ClockUnknown(f"the phone at {self.address} has no time echo; update the Companion app")
        for _ in range(FIRST_ESTIMATES):
            if not await self._estimate_offset():
                await asyncio.sleep(self.pauses_s[0])
            elif self.clock.latest is not None and self.clock.latest.uncertainty_ns <= MOVED_NS:
                return
        if (latest := self.clock.latest) is not None:
            uncertain_ms = latest.uncertainty_ns / 1e6
            self.notice(
                False, f"time echoes are slow: stamps may be off by {uncertain_ms:.1f} ms until they are faster"
            )
            return
        raise ClockUnknown(
            f"the phone at {self.address} does not answer time echoes on port {self.time_echo_port}; "
            "let TCP to that port pass"
        )

    async def _fetch_calibration(self, device: Device) -> None:
        try:
            self.calibration = await asyncio.wait_for(device.get_calibration(), REQUEST_TIMEOUT_S)
        except (*CONNECTION_ERRORS, ValueError, IndexError) as error:  # Pupil Invisible has none
            self.notice(False, f"no camera calibration from the device ({_reason(error)}): camera_info has none")

    async def _estimate_offset(self) -> bool:
        """Update the clock, and let the samples go that waited for it; whether the phone answered."""
        if not self.time_echo_port:
            return False
        async with self._estimating:
            return await self._estimate()

    async def _estimate(self) -> bool:
        began_ns = self.now_ns()
        try:
            if self._clock_state.doubted and await self._is_unchanged():
                self._clock_state.checked(began_ns, found_step=False)
            else:
                await self._estimate_well(began_ns)
        except CONNECTION_ERRORS:
            return False
        for state in self.states.values():
            state.stream.pump()
        return True

    async def _is_unchanged(self) -> bool:
        """A quick look at the phone's clock: samples wait for it. Raises one of CONNECTION_ERRORS."""
        estimate = estimate_offset(await self._take_echoes(QUICK_ECHOES))
        return estimate is not None and estimate.uncertainty_ns <= MOVED_NS and not self.clock.is_step(estimate)

    async def _estimate_well(self, began_ns: int) -> None:
        """Update the clock. Raises one of CONNECTION_ERRORS."""
        estimate = estimate_offset(await self._take_echoes(ECHOES))
        if estimate is None:
            raise ConnectionError("the time echoes contradict each other")
        before = self.clock.latest
        step_ns = self.clock.add(estimate)
        host_step_ns = self._clock_state.checked(began_ns, found_step=step_ns != 0)
        if step_ns and before is not None:
            since_s = (estimate.device_ns - before.device_ns + step_ns) / 1e9
            self._clocks_were_set(step_ns, host_step_ns, since_s)

    async def _take_echoes(self, count: int) -> list[TimeEcho]:
        assert self.time_echo_port
        return await take_echoes(self.address.host, self.time_echo_port, count, self.now_ns)

    def _clocks_were_set(self, step_ns: int, host_step_ns: int, since_s: float) -> None:
        """Host minus device has jumped by `step_ns`, of which the host's clock did `host_step_ns`."""
        device_step_ns = host_step_ns - step_ns
        streams = [state.stream for state in self.states.values()]
        if host_step_ns:
            self.notice(False, f"this host's clock was set by {host_step_ns / 1e9:+.4f} s: so are the stamps from now")
            for stream in streams:
                stream.guard.forget_order()
        if abs(device_step_ns) > MOVED_NS:
            within = f"within the last {since_s:.1f} s"
            self.notice(False, f"the phone's clock was set by {device_step_ns / 1e9:+.4f} s {within}")
            for stream in streams:
                stream.clock_was_set(device_step_ns)

    async def _follow_clock(self) -> None:
        answered = True
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._asked.wait(), self.clock_period_s)
            self._asked.clear()
            was_answered, answered = answered, await self._estimate_offset()
            if answered != was_answered:
                lost = "no answer to time echoes: going on with the last offset and drift, unless a clock is in doubt"
                self.notice(answered, "time echoes are answered again" if answered else lost)
            if self._clock_state.doubted:
                self._asked.set()
            await asyncio.sleep(CHECK_PAUSE_S)

    async def _follow_status(self, device: Device) -> None:
        """Say when a sensor is unplugged or back, from the phone's websocket.

        The vendor's `status_updates` fails on the first component that it does not know, which a newer app may send.
        """
        plugged: dict[str, bool] = {}
        url = device.api_url(APIPath.STATUS, protocol="ws")
        while True:
            with contextlib.suppress(*CONNECTION_ERRORS):
                async for websocket in websockets.connect(url):
                    with contextlib.suppress(websockets.ConnectionClosed):
                        async for message in websocket:
                            self._take_plugged(_plugged(message), plugged)
            await asyncio.sleep(self.pauses_s[1])

    def _take_plugged(self, change: tuple[str, bool] | None, plugged: dict[str, bool]) -> None:
        if change is None:
            return
        name, is_plugged = change
        before = plugged.get(name, is_plugged)
        plugged[name] = is_plugged
        if name in self.states and is_plugged != before:
            self.notice(is_plugged, f"sensor {name} {'is connected again' if is_plugged else 'was disconnected'}")
            if is_plugged:
                self.states[name].wake.set()

    async def _follow(self, name: str, device: Device) -> None:
        """Receive one stream for ever."""
        state = self.states[name]
        first_pause_s, longest_pause_s = self.pauses_s
        pause_s = first_pause_s
        if name != "world":  # gaze is in pixels of a frame whose size the video's description tells
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._world_described.wait(), REQUEST_TIMEOUT_S)
        while True:
            delivered = state.stream.delivered
            try:
                await self._connect(name, device, is_again=state.connections > 0)
            except CONNECTION_ERRORS as error:
                why = _reason(error)
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

    async def _connect(self, name: str, device: Device, is_again: bool) -> NoReturn:
        """Play a stream until it breaks. Raises one of CONNECTION_ERRORS."""
        status = await _status(device)
        self.time_echo_port = _port(status.phone.time_echo_port)
        if is_again and not await self._estimate_offset():  # the phone may have restarted, with another time
            raise ConnectionError("the phone does not answer time echoes")
        sensor = next(status.matching_sensors(SensorName(name), ConnectionType.DIRECT), None)
        if sensor is None or sensor.url is None:
            raise ConnectionError("the sensor is not connected to the phone")
        url = sensor.url
        if self.transport != "auto":
            url = ("rtspt" if self.transport == "tcp" else "rtsp") + url[url.index("://") :]
        silent_s = self.silent_s * (SILENT_FACTOR_OF_EVENTS if name == EYE_EVENTS else 1)
        media = "video" if name in VIDEOS else "audio" if name == "audio" else None
        await follow_stream(url, self.states[name].stream, silent_s, media)

    def _opened(self, name: str) -> None:
        """The size of the frames from the stream's description, before the first frame."""
        if name == "world":
            with contextlib.suppress(IndexError):  # none there, or an unusual one: the first frame will tell
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


async def _status(device: Device) -> Status:
    try:
        return await asyncio.wait_for(device.get_status(), REQUEST_TIMEOUT_S)
    except (KeyError, ValueError, TypeError, RecursionError) as error:  # something else listens there
        raise DeviceError(f"what answers is no Companion app: {_reason(error)}") from None


def _port(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 < value < 65536 else None


def _plugged(message: str | bytes) -> tuple[str, bool] | None:
    """Which sensor is connected to the phone or not, by a message of the status websocket; None where it is of none."""
    try:
        component = parse_component(json.loads(message))
    except (ValueError, KeyError, TypeError, RecursionError):  # also what a newer app has and this client does not know
        return None
    if not isinstance(component, Sensor) or not isinstance(component.sensor, str):
        return None
    is_direct = component.conn_type == ConnectionType.DIRECT.value
    return (component.sensor, bool(component.connected)) if is_direct else None


def _reason(error: BaseException) -> str:
    """One line about an error, also for those without a text."""
    return (str(error) or type(error).__name__).splitlines()[0]

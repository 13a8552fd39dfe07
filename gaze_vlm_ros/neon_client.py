"""Receive what a Neon or Pupil Invisible streams, through the vendor's client. No ROS.

One asyncio task follows each stream and connects again with growing pauses when it ends; one keeps the offset between
the phone's clock and this host's; one listens to the phone's status.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import av
import websockets
from pupil_labs.realtime_api import Device, Network
from pupil_labs.realtime_api.device import DeviceError
from pupil_labs.realtime_api.models import ConnectionType, Sensor, SensorName, Status
from pupil_labs.realtime_api.streaming import RTSPGazeStreamer, RTSPImuStreamer, RTSPVideoFrameStreamer

from gaze_vlm_ros.device_clock import DeviceClock, TimeEcho, estimate_offset
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.h264 import frame_size

STREAMS = {"world": RTSPVideoFrameStreamer, "gaze": RTSPGazeStreamer, "imu": RTSPImuStreamer}
REQUEST_TIMEOUT_S = 3.0
SILENT_S = 5.0  # without a packet, a stream counts as dead
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0  # between attempts to connect
ANOTHER_DEVICE_S = 1.0  # a second pair of glasses has this long to answer after the first
ECHOES = 40
# Not a divisor of a millisecond: the echoes then meet the device's clock at all phases of its milliseconds.
ECHO_PAUSE_S = 0.0017

# What the client and its libraries raise when a phone is gone, busy or none.
CONNECTION_ERRORS = (
    OSError,
    TimeoutError,
    asyncio.TimeoutError,
    EOFError,
    DeviceError,
    aiohttp.ClientError,
    websockets.WebSocketException,
    av.FFmpegError,
)


class BadAddress(GazeVlmError):
    """The device's address is not of the form host:port."""


class NoDeviceFound(GazeVlmError):
    """Nothing, or more than one device, answered by zeroconf."""


class DeviceUnreachable(GazeVlmError):
    """No device answered at the address that was given."""


class ClockUnknown(GazeVlmError):
    """The phone does not say what time it has, so no stamp of it can be used."""


class UnknownStream(GazeVlmError):
    """A stream was asked for that the glasses do not have."""


@dataclass(frozen=True)
class Address:
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @staticmethod
    def parse(text: str) -> Address:
        """Read host:port, or a host alone for the app's usual port. Raises BadAddress."""
        host, colon, port = text.strip().rpartition(":")
        if not colon:
            host, port = port, "8080"  # the app's
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise BadAddress(f"device address '{text}' is not host:port, such as 192.168.1.20:8080 or neon.local:8080")
        return Address(host, int(port))


async def discover(timeout_s: float) -> Address:
    """The only device that answers by zeroconf. Raises NoDeviceFound when there is none or a choice."""
    found: dict[Address, str] = {}
    async with Network() as network:
        wait_s = timeout_s
        while (device := await network.wait_for_new_device(wait_s)) is not None:
            found[Address(device.addresses[0], device.port)] = device.name.split("._http")[0]
            wait_s = ANOTHER_DEVICE_S
    if not found:
        raise NoDeviceFound(
            f"no glasses announced themselves within {timeout_s:g} s; is the phone on this network with the app open? "
            "If so, give its address as shown in the app's menu, 'Streaming': -p address:=192.168.1.20:8080"
        )
    if len(found) > 1:
        choice = ", ".join(f"{address} ({name})" for address, name in found.items())
        raise NoDeviceFound(f"more than one pair of glasses is here, give the address of one: {choice}")
    return next(iter(found))


@dataclass
class NeonClient:
    """Follows one device; `run` until cancelled.

    `receive(stream, datum, device_ns)` gets what the vendor's client delivers, as it delivers it, with the acquisition
    time on the phone's clock; it is called in the event loop and should be quick.
    `notice(is_good, text)` gets one line when something is lost or back.
    """

    address: Address
    streams: tuple[str, ...]
    receive: Callable[[str, Any, int], None]
    notice: Callable[[bool, str], None]
    clock: DeviceClock = field(default_factory=DeviceClock)
    clock_period_s: float = 5.0
    connect_timeout_s: float = 15.0
    transport: str = "auto"  # of RTP: "udp", "tcp" (interleaved), "auto" = what the device announces
    calibration: Any = None  # pupil_labs Calibration, once connected; None where the device has none
    frame_size: tuple[int, int] | None = None  # (width, height) px of the scene video, once known
    time_echo_port: int | None = None
    reconnections: int = 0
    _world_described: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        for name in self.streams:
            if name not in STREAMS:
                raise UnknownStream(f"stream '{name}' is none of {', '.join(STREAMS)}")

    async def run(self) -> None:
        """Connect and follow the device. Raises DeviceUnreachable or ClockUnknown when the first connection fails."""
        async with Device(self.address.host, self.address.port) as device:
            status = await self._first_status(device)
            self.notice(True, f"connected to {status.phone.device_name} at {self.address}")
            self.time_echo_port = status.phone.time_echo_port
            await self._first_offset()
            await self._fetch_calibration(device)
            if "world" not in self.streams:
                self._world_described.set()
            following = [self._follow(name, device) for name in self.streams]
            await asyncio.gather(self._follow_clock(), self._follow_status(device), *following)

    async def _first_status(self, device: Device) -> Status:
        deadline_s = time.monotonic() + self.connect_timeout_s
        while True:
            try:
                return await _status(device)
            except CONNECTION_ERRORS as error:
                if time.monotonic() > deadline_s:
                    raise DeviceUnreachable(
                        f"no glasses answer at {self.address} ({_reason(error)}); is the app open, and is this the "
                        "address shown in its menu, 'Streaming'?"
                    ) from None
                await asyncio.sleep(FIRST_PAUSE_S)

    async def _first_offset(self) -> None:
        if not self.time_echo_port:
            raise ClockUnknown(f"the phone at {self.address} has no time echo; update the Companion app")
        for _ in range(3):
            if await self._estimate_offset():
                return
            await asyncio.sleep(FIRST_PAUSE_S)
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
        """Update the clock; whether the phone answered."""
        if not self.time_echo_port:
            return False
        try:
            echoes = await take_echoes(self.address.host, self.time_echo_port)
        except CONNECTION_ERRORS:
            return False
        estimate = estimate_offset(echoes)
        if estimate is None:
            return False
        steps = self.clock.steps
        self.clock.add(estimate)
        if self.clock.steps > steps:
            ahead_s = -estimate.offset_ns / 1e9
            self.notice(False, f"the phone's clock was set: it is now {ahead_s:+.4f} s off this host's")
        return True

    async def _follow_clock(self) -> None:
        answered = True
        while True:
            await asyncio.sleep(self.clock_period_s)
            was_answered, answered = answered, await self._estimate_offset()
            if answered != was_answered:
                lost = "no answer to time echoes: going on with the last offset and drift"
                self.notice(answered, "time echoes are answered again" if answered else lost)

    async def _follow_status(self, device: Device) -> None:
        """Say when a sensor is unplugged or back, from the phone's websocket."""
        connected: dict[str, bool] = {}
        while True:
            # NameError: what the vendor's client runs into when a newer app reports a component that it does not know.
            with contextlib.suppress(*CONNECTION_ERRORS, ValueError, NameError):
                async for component in device.status_updates():
                    if isinstance(component, Sensor) and component.conn_type == ConnectionType.DIRECT.value:
                        before = connected.setdefault(component.sensor, component.connected)
                        if component.sensor in self.streams and component.connected != before:
                            state = "is connected again" if component.connected else "was disconnected from the phone"
                            self.notice(component.connected, f"sensor {component.sensor} {state}")
                        connected[component.sensor] = component.connected
            await asyncio.sleep(LONGEST_PAUSE_S)

    async def _follow(self, name: str, device: Device) -> None:
        """Receive one stream for ever."""
        pause_s, lost = FIRST_PAUSE_S, False
        if name != "world":  # gaze is in pixels of a frame whose size the video's description tells
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._world_described.wait(), REQUEST_TIMEOUT_S)
        while True:
            received = False
            try:
                async with contextlib.aclosing(self._stream(name, device, is_again=lost)) as data:
                    async for datum in data:
                        if not received:
                            received, pause_s = True, FIRST_PAUSE_S
                            if lost:
                                lost = False
                                self.notice(True, f"stream {name} is back")
                        self.receive(name, datum, datum.timestamp_unix_ns)
            except CONNECTION_ERRORS as error:
                why = _reason(error)
            if not lost:
                lost = True
                self.notice(False, f"stream {name} lost ({why}); trying to connect again")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            self.reconnections += 1

    async def _stream(self, name: str, device: Device, is_again: bool) -> AsyncGenerator[Any, None]:
        """Yield what one connection to a stream delivers. Raises one of CONNECTION_ERRORS when it breaks."""
        status = await _status(device)
        self.time_echo_port = status.phone.time_echo_port
        if is_again and not await self._estimate_offset():  # the phone may have restarted, with another time
            raise ConnectionError("the phone does not answer time echoes")
        sensor = next(status.matching_sensors(SensorName(name), ConnectionType.DIRECT), None)
        if sensor is None or sensor.url is None:
            raise ConnectionError("the sensor is not connected to the phone")
        url = sensor.url
        if self.transport != "auto":
            url = ("rtspt" if self.transport == "tcp" else "rtsp") + url[url.index("://") :]
        # Its own log would repeat, as errors with tracebacks, what this module reports.
        async with STREAMS[name](url, timeout=SILENT_S, log_level=logging.CRITICAL) as streamer:
            if isinstance(streamer, RTSPVideoFrameStreamer):
                await self._learn_frame_size(streamer)
            last_s = time.monotonic()
            async for datum in streamer.receive():
                last_s = time.monotonic()
                yield datum
            runner = getattr(streamer.reader, "_runner", None)  # the iterator just ends; only this task knows why
            if runner is not None and runner.done() and not runner.cancelled() and runner.exception():
                raise ConnectionError(_reason(runner.exception()))
            silent_s = time.monotonic() - last_s
            raise ConnectionError(
                f"nothing came for {silent_s:.0f} s" if silent_s > SILENT_S / 2 else "the phone ended it"
            )

    async def _learn_frame_size(self, streamer: RTSPVideoFrameStreamer) -> None:
        """The size of the frames from the stream's description, before the first frame."""
        for _ in range(int(REQUEST_TIMEOUT_S / 0.01)):
            if streamer.reader.session is not None:
                break
            await asyncio.sleep(0.01)
        with contextlib.suppress(Exception):  # whatever is unusual in the description: the first frame will tell
            parameter_sets = streamer.sprop_parameter_set_payloads or []
            self.frame_size = frame_size(bytes(parameter_sets[0])[4:])  # behind a start code
        self._world_described.set()


async def take_echoes(host: str, port: int, count: int = ECHOES) -> list[TimeEcho]:
    """Ask the phone for its time by the Time Echo protocol.

    The vendor's estimator does the same in whole milliseconds of this host's clock too, which costs the precision that
    `estimate_offset` gains. Raises OSError, EOFError or TimeoutError when the phone does not answer.
    """
    reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), REQUEST_TIMEOUT_S)
    try:
        with contextlib.suppress(OSError, AttributeError):
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        echoes = []
        for _ in range(count):
            sent_ns = time.time_ns()
            writer.write(struct.pack("!Q", sent_ns // 1_000_000))
            answer = await asyncio.wait_for(reader.readexactly(16), REQUEST_TIMEOUT_S)
            received_ns = time.time_ns()
            echoes.append(TimeEcho(sent_ns, received_ns, struct.unpack("!QQ", answer)[1]))
            await asyncio.sleep(ECHO_PAUSE_S)
        return echoes
    finally:
        writer.close()


async def _status(device: Device) -> Status:
    try:
        return await asyncio.wait_for(device.get_status(), REQUEST_TIMEOUT_S)
    except (KeyError, ValueError, TypeError) as error:  # something else listens there
        raise DeviceError(f"what answers is no Companion app: {_reason(error)}") from None


def _reason(error: BaseException) -> str:
    """One line about an error, also for those without a text."""
    return (str(error) or type(error).__name__).splitlines()[0]

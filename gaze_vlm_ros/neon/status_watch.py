"""The phone's status: requested once over HTTP, then followed over its websocket."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any, NoReturn

import websockets
from pupil_labs.realtime_api import Device
from pupil_labs.realtime_api.device import DeviceError
from pupil_labs.realtime_api.models import APIPath, ConnectionType, Sensor, Status, parse_component

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.neon.address import Address
from gaze_vlm_ros.neon.connection_errors import CONNECTION_ERRORS, reason
from gaze_vlm_ros.neon.time_echo import REQUEST_TIMEOUT_S

MAX_BODY_BYTES = 1 << 20  # of an answer; a status has some kB
MAX_SENSORS = 100  # names of which are remembered
MAX_MESSAGE_BYTES = 1 << 16  # of the websocket; a message is about one sensor


class DeviceUnreachable(GazeVlmError):
    """No device answered at the given address."""


async def request(device: Device, path: APIPath) -> bytes:
    """Return what the phone answers to a GET, within REQUEST_TIMEOUT_S and MAX_BODY_BYTES in all.

    The vendor's own requests read a body of any length. Raises one of CONNECTION_ERRORS.
    """
    return await asyncio.wait_for(_body(device, path), REQUEST_TIMEOUT_S)


async def _body(device: Device, path: APIPath) -> bytes:
    parts, size = [], 0
    # A compressed body may become a thousandfold.
    async with device.active_session.get(device.api_url(path), headers={"Accept-Encoding": "identity"}) as response:
        async for part in response.content.iter_chunked(1 << 16):
            parts.append(part)
            size += len(part)
            if size > MAX_BODY_BYTES:
                raise DeviceError(f"its answer to {path.value} is longer than {MAX_BODY_BYTES >> 20} MiB")
        if response.status != 200:
            raise DeviceError(response.status, f"no answer to {path.value}")
    return b"".join(parts)


async def request_status(device: Device) -> Status:
    """Return the phone's status. Raises one of CONNECTION_ERRORS."""
    try:
        return Status.from_dict(json.loads(await request(device, APIPath.STATUS))["result"])
    except CONNECTION_ERRORS:
        raise
    except Exception as error:  # something else listens there, and the vendor's parser fails anywhere
        raise DeviceError(f"what answers is not a Companion app: {reason(error)}") from None


async def first_status(device: Device, address: Address, timeout_s: float, pause_s: float) -> Status:
    """Return the status of a phone that may still be starting. Raises DeviceUnreachable after `timeout_s`."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + timeout_s
    while True:
        try:
            return await request_status(device)
        except CONNECTION_ERRORS as error:
            if loop.time() > deadline_s:
                raise DeviceUnreachable(
                    f"no glasses answer at {address} ({reason(error)}); is the app open, and is this the "
                    "address shown in its menu, 'Streaming'?"
                ) from None
            await asyncio.sleep(pause_s)


def time_echo_port(status: Status) -> int | None:
    """Return the port of the phone's time echo service, None where it has none."""
    port: Any = status.phone.time_echo_port
    return port if isinstance(port, int) and 0 < port < 65536 else None


def connected_sensor(message: str | bytes) -> tuple[str, bool] | None:
    """Return (sensor, whether it is connected) from a websocket message; None where the message is about no sensor."""
    try:
        component = parse_component(json.loads(message))
    except (ValueError, KeyError, TypeError, RecursionError):  # includes what a newer app sends
        return None
    if not isinstance(component, Sensor) or not isinstance(component.sensor, str):
        return None
    is_direct = component.conn_type == ConnectionType.DIRECT.value
    return (component.sensor, bool(component.connected)) if is_direct else None


class StatusWatch:
    """Reports when a sensor is disconnected from the phone or connected again.

    The vendor's `status_updates` fails on the first component that it does not know, which a newer app may send.
    """

    def __init__(self, changed: Callable[[str, bool], None]) -> None:
        """`changed(sensor, is_connected)` is called for each change after a sensor's first message."""
        self._changed = changed
        self._connected: dict[str, bool] = {}

    async def follow(self, url: str, pause_s: float) -> NoReturn:
        """Listen at the websocket forever; connect again `pause_s` after each loss."""
        while True:
            # Without the library's own loop, which connects at once again when the phone hangs up.
            with contextlib.suppress(*CONNECTION_ERRORS):
                async with websockets.connect(url, max_size=MAX_MESSAGE_BYTES, compression=None) as websocket:
                    async for message in websocket:
                        self.take(message)
            await asyncio.sleep(pause_s)

    def take(self, message: str | bytes) -> None:
        """Take one message of the websocket."""
        if (sensor := connected_sensor(message)) is None:
            return
        name, is_connected = sensor
        if name not in self._connected and len(self._connected) >= MAX_SENSORS:
            return
        before = self._connected.get(name, is_connected)
        self._connected[name] = is_connected
        if is_connected != before:
            self._changed(name, is_connected)

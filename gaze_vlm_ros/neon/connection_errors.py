"""Errors that mean that the phone is gone, busy, or not a Companion app."""

from __future__ import annotations

import asyncio

import aiohttp
import websockets
from pupil_labs.realtime_api.device import DeviceError

CONNECTION_ERRORS = (
    OSError,
    TimeoutError,
    asyncio.TimeoutError,
    EOFError,
    DeviceError,
    aiohttp.ClientError,
    websockets.WebSocketException,
)


def reason(error: BaseException) -> str:
    """Return one line about an error, also for one without a text."""
    return (str(error) or type(error).__name__).splitlines()[0]

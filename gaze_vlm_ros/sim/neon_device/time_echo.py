"""The Time Echo server: eight bytes of the client's time back, with the device's time in whole milliseconds."""

from __future__ import annotations

import asyncio
import contextlib
import struct

from gaze_vlm_ros.sim.neon_device.clock import PhoneClock


async def start_time_echo(clock: PhoneClock, host: str) -> asyncio.Server:
    """Serve `clock` on a free port, as the app does: the phone's clock is cut to milliseconds, not rounded."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Cancelled: the device is being switched off.
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                request = await reader.readexactly(8)
                writer.write(request + struct.pack("!Q", clock.now_ns() // 1_000_000))
                await writer.drain()
        writer.close()

    return await asyncio.start_server(echo, host, 0)

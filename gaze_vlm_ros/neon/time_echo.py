"""Round trips of the glasses' time echo service."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Callable

from gaze_vlm_ros.neon.device_clock import TimeEcho

REQUEST_TIMEOUT_S = 3.0
LONGEST_ECHO_S = 0.25  # on the average of all echoes of one estimate; a slow Wi-Fi takes a tenth
ECHOES = 40
# Not a divisor of a millisecond, so that the echoes meet the device's clock at all phases of its milliseconds.
ECHO_PAUSE_S = 0.0017


async def take_echoes(
    host: str, port: int, count: int = ECHOES, now_ns: Callable[[], int] = time.time_ns
) -> list[TimeEcho]:
    """Measure `count` round trips by the Time Echo protocol; `now_ns` reads this host's clock, Unix ns.

    The vendor's estimator also cuts this host's clock to whole milliseconds, which loses the precision that
    `estimate_offset` gains. Raises OSError, EOFError or TimeoutError when the phone does not answer correctly, or takes
    longer than REQUEST_TIMEOUT_S and LONGEST_ECHO_S for each echo.
    """
    return await asyncio.wait_for(_take(host, port, count, now_ns), REQUEST_TIMEOUT_S + count * LONGEST_ECHO_S)


async def _take(host: str, port: int, count: int, now_ns: Callable[[], int]) -> list[TimeEcho]:
    reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), REQUEST_TIMEOUT_S)
    try:
        with contextlib.suppress(OSError, AttributeError):
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        echoes = []
        for _ in range(count):
            sent_ns = now_ns()
            writer.write(struct.pack("!Q", sent_ns // 1_000_000))
            answer = await asyncio.wait_for(reader.readexactly(16), REQUEST_TIMEOUT_S)
            received_ns = now_ns()
            echoed_ms, device_ms = struct.unpack("!QQ", answer)
            if echoed_ms != sent_ns // 1_000_000:
                raise ConnectionError("what answers on the time echo port is not a time echo")
            echoes.append(TimeEcho(sent_ns, received_ns, device_ms))
            await asyncio.sleep(ECHO_PAUSE_S)
        return echoes
    finally:
        writer.close()

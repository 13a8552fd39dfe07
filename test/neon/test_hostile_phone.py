"""A phone, or whoever answers at its address, that sends without end, hangs up, or names other hosts."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import websockets
from pupil_labs.realtime_api import Device
from pupil_labs.realtime_api.models import APIPath

from gaze_vlm_ros.neon import status_watch, stream, time_echo
from gaze_vlm_ros.neon.address import Address, is_other_host, with_host
from gaze_vlm_ros.neon.client import NeonClient
from gaze_vlm_ros.neon.clock_state import ClockState
from gaze_vlm_ros.neon.connection_errors import CONNECTION_ERRORS
from gaze_vlm_ros.neon.device_clock import DeviceClock
from gaze_vlm_ros.neon.eye_states import MAX_ANSWERS, MAX_EVENTS, EyeStates
from gaze_vlm_ros.neon.h264_rtp import MAX_FRAME_BYTES, MAX_UNITS, CodedFrame, FrameAssembler
from gaze_vlm_ros.neon.rtp import RtpPacket
from gaze_vlm_ros.neon.samples import BLINK, EyeEvent
from gaze_vlm_ros.neon.status_watch import StatusWatch, request, request_status
from gaze_vlm_ros.neon.stream import NeonStream
from gaze_vlm_ros.neon.video_decoder import MAX_HELD, VideoDecoder

SEI, SLICE = 6, 1


async def served(talk: Callable[[Any, Any], Any], client: Callable[[int], Any]) -> Any:
    """What `client(port)` returns while a server at the port has `talk` answer each connection."""
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        return await client(server.sockets[0].getsockname()[1])
    finally:
        server.close()


async def flood(reader: Any, writer: Any) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    with contextlib.suppress(OSError):
        while not writer.is_closing():
            writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            await writer.drain()


@pytest.mark.parametrize("path", [APIPath.STATUS, APIPath.CALIBRATION])
def test_a_body_without_end_is_cut_off(path: APIPath) -> None:
    async def client(port: int) -> str:
        async with Device("127.0.0.1", port) as device:
            with pytest.raises(CONNECTION_ERRORS) as caught:
                await request(device, path)
            return str(caught.value)

    assert "is longer than 1 MiB" in asyncio.run(served(flood, client))


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b"null", b'{"result": 7}', b'{"result": [7]}', b'{"result": [{"model": "Phone"}]}',
             b"\xff", b'{"result": [{"model": "Sensor", "data": {"sensor": [], "port": "x"}}]}'],
)  # fmt: skip
def test_a_status_that_is_none_is_a_lost_connection(body: bytes) -> None:
    async def talk(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async def client(port: int) -> None:
        async with Device("127.0.0.1", port) as device:
            with contextlib.suppress(*CONNECTION_ERRORS):
                await request_status(device)

    asyncio.run(served(talk, client))


def test_a_websocket_that_hangs_up_is_called_again_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, pauses = [], []

    class HangsUp:
        def __init__(self, url: str, **options: Any) -> None:
            calls.append(options)

        async def __aenter__(self) -> Any:
            return self

        async def __aexit__(self, *_: object) -> None:
            pass

        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> str:
            raise StopAsyncIteration

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 5:
            raise asyncio.CancelledError

    monkeypatch.setattr(websockets, "connect", HangsUp)
    monkeypatch.setattr(status_watch.asyncio, "sleep", pause)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(StatusWatch(lambda *_: None).follow("ws://phone", 8.0))
    assert pauses == [8.0] * 5
    assert len(calls) == 5
    assert all(options["max_size"] == status_watch.MAX_MESSAGE_BYTES for options in calls)


def test_names_of_sensors_without_end_are_not_remembered() -> None:
    watch = StatusWatch(lambda *_: None)
    for number in range(3 * status_watch.MAX_SENSORS):
        watch.take(f'{{"model": "Sensor", "data": {{"sensor": "s{number}", "conn_type": "DIRECT", "connected": true, '
                   f'"ip": "1", "port": 1, "protocol": "rtsp", "params": ""}}}}')  # fmt: skip
    assert 0 < len(watch._connected) <= status_watch.MAX_SENSORS


def test_time_echoes_have_a_total_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then satisfies each read's timeout."""

    async def drip(reader: Any, writer: Any) -> None:
        with contextlib.suppress(OSError):
            while not writer.is_closing():
                writer.write(b"\0")
                await writer.drain()
                await asyncio.sleep(0.01)

    monkeypatch.setattr(time_echo, "REQUEST_TIMEOUT_S", 0.2)
    monkeypatch.setattr(time_echo, "LONGEST_ECHO_S", 0.0)

    async def client(port: int) -> None:
        with pytest.raises(CONNECTION_ERRORS):
            await time_echo.take_echoes("127.0.0.1", port, 1000)

    asyncio.run(served(drip, client))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("rtsp://10.0.0.9:8086/?camera=world", "rtsp://192.168.1.20:8086/?camera=world"),
        ("rtsp://router.local/?camera=gaze", "rtsp://192.168.1.20/?camera=gaze"),
        ("rtsp://user:secret@[::1]:99/x", "rtsp://192.168.1.20:99/x"),
    ],
)
def test_only_the_phone_itself_is_connected_to(url: str, expected: str) -> None:
    notices: list[str] = []
    client = NeonClient(Address("192.168.1.20", 8080), ("world",), print, lambda _, text: notices.append(text))
    for _ in range(3):
        assert client._own_url("world", url) == expected
    assert len(notices) == 1
    assert "names the host" in notices[0]
    with pytest.raises(ConnectionError, match="gives it the address"):
        client._own_url("world", "rtsp://host:99999999/x")


def test_which_hosts_are_others() -> None:
    assert not is_other_host("192.168.1.20", "192.168.1.20")
    assert is_other_host("192.168.1.21", "192.168.1.20")
    assert is_other_host("evil.example", "neon.local")
    assert not is_other_host("192.168.1.20", "neon.local")  # the name's address is not asked for
    assert with_host("rtsp://a:1/b", "fe80::1") == ("rtsp://[fe80::1]:1/b", "a")


def packet(number: int, payload: bytes) -> RtpPacket:
    return RtpPacket(number & 0xFFFF, number * 3000 & 0xFFFFFFFF, 1, 96, True, payload, number * 33_000_000)


def test_a_video_of_everything_but_pictures_takes_no_memory() -> None:
    assembler = FrameAssembler()
    for number in range(3 * MAX_FRAME_BYTES // 100_000):
        assert assembler.push(packet(number, bytes([SEI]) + bytes(100_000)), 0) is None
        assert sum(map(len, assembler._carried)) <= MAX_FRAME_BYTES + 100_001
    assert assembler.malformed > 0
    tiny = bytes([24]) + b"\0\1\6" * 400  # an aggregate of units of one byte
    for number in range(1000, 1100):
        assembler.push(RtpPacket(number, 1, 1, 96, False, tiny, 0), 0)
    assert len(assembler._units) <= MAX_UNITS + 400


def test_coded_data_without_pictures_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        def decode(self, _: Any) -> list[Any]:
            return []

    decoder: VideoDecoder[int] = VideoDecoder()
    decoder._codec = Silent()
    for number in range(1000):
        decoder.decode(CodedFrame(number, 0, (bytes([0x65, 0x80]),), True, False), number)
    assert len(decoder._tags) == MAX_HELD
    assert decoder.damaged == 1000 - MAX_HELD


def test_a_flood_of_eye_events_takes_no_memory() -> None:
    states = EyeStates()
    for number in range(2 * MAX_EVENTS):
        states.add(EyeEvent(BLINK, 0, number))
        states.at(1)
    assert len(states._whole) == MAX_EVENTS
    assert states._answers.maxlen == MAX_ANSWERS


def waiting_stream(hold_s: float = 10.0) -> tuple[NeonStream, dict[str, int]]:
    times = {"host": 10**18, "steady": 0}
    state = ClockState(DeviceClock(), lambda: times["host"], lambda: None, steady_ns=lambda: times["steady"])
    state.doubted = True  # so that all samples wait
    return NeonStream("world", state, lambda *_: None, hold_s=hold_s), times


def test_samples_are_as_old_as_a_steady_clock_says() -> None:
    """The host's clock is set back an hour: what waited would wait for that hour."""
    waiting, times = waiting_stream()
    for number in range(22_000 // 10):
        times["steady"] += 50_000_000
        times["host"] += 50_000_000 if number != 100 else -3600 * 10**9
        waiting._wait(number, times["host"], 0, b"")
        assert waiting.waiting <= 202
    assert waiting.untimed == 2200 - waiting.waiting


def test_what_waits_has_a_limit_in_number_and_bytes() -> None:
    waiting, times = waiting_stream()
    for number in range(stream.MAX_WAITING + 100):
        waiting._wait(number, times["host"], 0, b"")
    assert waiting.waiting == stream.MAX_WAITING
    large = CodedFrame(0, 0, (bytes(8 << 20),), True, False)
    for number in range(20):
        waiting._wait(number, times["host"], 0, large)
    assert waiting._waiting_bytes <= stream.MAX_WAITING_BYTES
    waiting._drop_waiting()
    assert waiting._waiting_bytes == 0

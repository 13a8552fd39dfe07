"""Losing the glasses and finding them again; addresses that lead nowhere."""

import asyncio
import socket
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from neon_fixtures import Synthetic, decode
from patient_loop import host_clocks, patient_loop, run_patiently

from gaze_vlm_ros.neon.address import Address, BadAddress, NoDeviceFound, discover
from gaze_vlm_ros.neon.client import NeonClient, UnknownStream
from gaze_vlm_ros.neon.clock_follower import ClockUnknown
from gaze_vlm_ros.neon.recording import read_recording
from gaze_vlm_ros.neon.status_watch import DeviceUnreachable
from gaze_vlm_ros.sim.neon_device.announce import announced
from gaze_vlm_ros.sim.neon_device.device import DeviceSettings, NeonDevice


def ignore(*_: Any) -> None:
    return None


def test_addresses() -> None:
    assert Address.parse("192.168.1.20:8081") == Address("192.168.1.20", 8081)
    assert Address.parse("neon.local") == Address("neon.local", 8080)
    for bad in ("", ":8080", "host:", "host:x", "host:70000"):
        with pytest.raises(BadAddress, match="is not host:port"):
            Address.parse(bad)


def test_unknown_stream_is_refused() -> None:
    async def make() -> None:
        NeonClient(Address("127.0.0.1", 1), ("nose",), ignore, ignore)

    with pytest.raises(UnknownStream, match="'nose' is none of world, gaze, imu, eyes, audio"):
        asyncio.run(make())


def test_nobody_there() -> None:
    async def run() -> None:
        await NeonClient(Address("127.0.0.1", 9), ("gaze",), ignore, ignore, connect_timeout_s=0.1).run()

    with pytest.raises(DeviceUnreachable, match=r"no glasses answer at 127\.0\.0\.1:9"):
        asyncio.run(run())


def test_somebody_else_there() -> None:
    async def run() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            body = b'{"hello": 1}'
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            await NeonClient(Address("127.0.0.1", port), ("gaze",), ignore, ignore, connect_timeout_s=0.1).run()
        finally:
            server.close()

    with pytest.raises(DeviceUnreachable, match="not a Companion app"):
        asyncio.run(run())


def test_no_stamps_without_the_phones_time(synthetic: Synthetic) -> None:
    async def run() -> None:
        async with NeonDevice(read_recording(synthetic.folder), DeviceSettings(port=0)) as device:
            device._http.time_echo_port = 0  # as an app that is too old
            await NeonClient(Address("127.0.0.1", device.port), ("gaze",), ignore, ignore).run()

    with pytest.raises(ClockUnknown, match="no time echo"):
        asyncio.run(run())


def test_glasses_that_go_and_come_back(synthetic: Synthetic) -> None:
    """With a clock that was set in between: stamps after the return are right again."""
    recording = read_recording(synthetic.folder)
    notices: list[str] = []
    errors_ms: list[float] = []

    async def run() -> None:
        came = asyncio.Event()
        now: dict[str, NeonDevice] = {}

        def take(_: str, __: Any, device_ns: int, host_ns: int) -> None:
            truth_ns = now["device"].clock.host_ns(device_ns)
            errors_ms.append(abs(host_ns - truth_ns) / 1e6)
            came.set()

        port = 0
        client: NeonClient
        running: asyncio.Future[None] | None = None
        for offset_s in (1.0, -2.0):
            clock = DeviceSettings().clock
            clock = replace(clock, offset_s=offset_s)
            chosen = DeviceSettings(port=port, clock=clock, host_now_ns=patient_loop().unix_ns)
            async with NeonDevice(recording, chosen) as device:
                now["device"], port = device, device.port
                if running is None:
                    notice = lambda _, text: notices.append(text)  # noqa: E731
                    address = Address("127.0.0.1", port)
                    client = NeonClient(address, ("gaze",), take, notice, clock_period_s=60.0, **host_clocks())
                    running = asyncio.ensure_future(client.run())
                came.clear()
                await asyncio.wait_for(came.wait(), 30)
        assert running is not None
        running.cancel()
        await asyncio.wait([running])
        assert client.clock.steps == 1

    run_patiently(run())
    assert max(errors_ms) < 2.0
    assert any("stream gaze lost" in notice for notice in notices)
    assert any("stream gaze is back" in notice for notice in notices)
    assert any("clock was set" in notice for notice in notices)


def test_a_client_that_comes_late_gets_frames_from_the_next_keyframe_on(synthetic: Synthetic) -> None:
    recording = read_recording(synthetic.folder)
    frames: list[tuple[int, Any]] = []

    async def run() -> int:
        chosen = DeviceSettings(port=0, once=True, host_now_ns=patient_loop().unix_ns)
        async with NeonDevice(recording, chosen) as device:
            playing = asyncio.Event()
            address = Address("127.0.0.1", device.port)
            take = lambda _, datum, ns, __: frames.append((ns, datum.av_frame))  # noqa: E731
            early = NeonClient(address, ("imu",), lambda *_: playing.set(), ignore, **host_clocks())
            late = NeonClient(address, ("world",), take, ignore, **host_clocks())
            running = [asyncio.ensure_future(early.run())]
            await asyncio.wait_for(playing.wait(), 30)
            running.append(asyncio.ensure_future(late.run()))
            await asyncio.wait_for(device.finished.wait(), 30)
            for task in running:
                task.cancel()
            await asyncio.wait(running)
            return device.session_starts_ns[0]

    start_ns = run_patiently(run())
    expected = [f for part in (1, 2) for f in decode(synthetic.folder / f"Neon Scene Camera v1 ps{part}.mp4")]
    replayed_ns = recording.frame_stamps_ns - recording.span_ns[0] + start_ns
    indices = [int(np.abs(replayed_ns - stamp_ns).argmin()) for stamp_ns, _ in frames]
    assert indices[0] in (10, 12)  # part one's second keyframe, or part two's first
    assert indices == list(range(indices[0], 20))
    for index, (_, frame) in zip(indices, frames, strict=True):
        assert np.array_equal(frame.to_ndarray(format="rgb24"), expected[index])


def has_multicast() -> bool:
    """Whether this machine hears its own multicast, as discovery needs."""
    try:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth,
        ):
            ear.bind(("", 0))
            membership = socket.inet_aton("224.0.0.251") + socket.inet_aton("127.0.0.1")
            ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
            ear.settimeout(1.0)
            mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            mouth.sendto(b"?", ("224.0.0.251", ear.getsockname()[1]))
            return ear.recv(1) == b"?"
    except OSError:
        return False


def test_discovery_by_zeroconf(synthetic: Synthetic) -> None:
    async def run() -> tuple[Address, int]:
        device = NeonDevice(read_recording(synthetic.folder), DeviceSettings(port=0))
        async with device, announced(device):
            return await discover(20.0), device.port

    if not has_multicast():
        pytest.skip("this machine has no multicast")
    # Every test run on this machine hears the others' glasses: one at a time.
    with FileLock(Path(tempfile.gettempdir(), "gaze_vlm_ros_zeroconf_test.lock")):
        address, port = asyncio.run(run())
        assert address == Address("127.0.0.1", port)
        with pytest.raises(NoDeviceFound, match=r"no glasses announced themselves within 0\.5 s"):
            asyncio.run(discover(0.5))

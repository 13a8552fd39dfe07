"""Seeded rubbish at everything that reads what a phone sends: nothing crashes, hangs, or turns into a wrong sample.

Not covered, because it cannot be noticed: bits that change inside a payload. UDP and TCP have checksums.
"""

import asyncio
import contextlib
import heapq
import json
import random
import struct
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pupil_labs.realtime_api import Device
from test_neon_stream import DELAY_NS, MS, NOW_NS, OFFSET_NS, Bench, gaze, motion

from gaze_vlm_ros.neon.address import Address
from gaze_vlm_ros.neon.client import NeonClient
from gaze_vlm_ros.neon.connection_errors import CONNECTION_ERRORS
from gaze_vlm_ros.neon.description import Description
from gaze_vlm_ros.neon.h264_rtp import FrameAssembler
from gaze_vlm_ros.neon.packet_sink import StreamLost
from gaze_vlm_ros.neon.rtp import MalformedPacket, RtpPacket, parse_rtcp, parse_rtp
from gaze_vlm_ros.neon.rtsp_client import follow_stream
from gaze_vlm_ros.neon.samples import UnreadableSample, read_eye_event, read_gaze, read_motion
from gaze_vlm_ros.neon.status_watch import connected_sensor, request_status
from gaze_vlm_ros.neon.timing import TINY_STEP_NS
from gaze_vlm_ros.sim.neon_device import rtp
from gaze_vlm_ros.video.h264 import frame_size, parse_avcc, split_nal_units

SPS = bytes.fromhex("6742c00adad89a10000003001000000303c0f1226a")
RTP = rtp.rtp_packet(gaze(5), payload_type=99, sequence=7, timestamp=8, ssrc=9, marker=True)
REPORT = rtp.sender_report(ssrc=9, unix_ns=NOW_NS, rtp_timestamp=8, packets=1, octets=2, cname="neon")
FIXATION = struct.pack("!iqq10f", 1, 7, 9, *range(10))


def spoil(data: bytes, draw: random.Random) -> bytes:
    """Cut, flip bits, repeat, insert, or replace everything."""
    kind = draw.randrange(6)
    if kind == 0:
        return data[: draw.randrange(len(data) + 1)]
    if kind == 1 and data:
        spoilt = bytearray(data)
        for _ in range(draw.randrange(1, 8)):
            spoilt[draw.randrange(len(spoilt))] ^= 1 << draw.randrange(8)
        return bytes(spoilt)
    if kind == 2:
        return data + data[: draw.randrange(len(data) + 1)]
    if kind == 3:
        at = draw.randrange(len(data) + 1)
        return data[:at] + draw.randbytes(draw.randrange(9)) + data[at:]
    if kind == 4:
        return spoil(spoil(data, draw), draw)
    return draw.randbytes(draw.randrange(80))


@pytest.mark.parametrize(
    ("read", "good", "expected"),
    [
        (lambda data: parse_rtp(data, 0), RTP, (MalformedPacket,)),
        (parse_rtcp, REPORT + rtp.goodbye(9), (MalformedPacket,)),
        (read_gaze, gaze(5), (UnreadableSample,)),
        (read_motion, motion(), (UnreadableSample,)),
        (read_eye_event, FIXATION, (UnreadableSample,)),
        (frame_size, SPS, (IndexError,)),
        (lambda data: split_nal_units(data, 4), b"\0\0\0\5abcde\0\0\0\1f", (ValueError,)),
        (parse_avcc, b"\1\x42\xc0\x0a\xff\xe1\0\x15" + SPS + b"\1\0\4\x68\xce\x0b\xc8", (IndexError,)),
        (connected_sensor, b'{"model": "Sensor", "data": {"sensor": "gaze", "conn_type": "DIRECT"}}', ()),
    ],
    ids=["rtp", "rtcp", "gaze", "motion", "eye event", "sps", "mp4 sample", "avcc", "status component"],
)
def test_parsers_raise_nothing_but_what_they_say(
    read: Callable[[bytes], Any], good: bytes, expected: tuple[type[Exception], ...]
) -> None:
    draw = random.Random(len(good))
    read(good)
    refused = 0
    count = 5000
    for _ in range(count):
        try:
            read(spoil(good, draw))
        except expected:
            refused += 1
    print(f"{count} inputs, {refused} refused")


def test_frames_of_rubbish_are_never_whole() -> None:
    """Unless every payload of a frame is one that H.264 has: then they come out as they went in."""
    draw = random.Random(4)
    good = [bytes((0x65,)) + draw.randbytes(40), *rtp.packetize_nal_unit(bytes((0x65,)) + draw.randbytes(90), 40)]
    count = whole = 0
    for _ in range(4000):
        assembler = FrameAssembler()
        payloads = [bytes(draw.choice(good)) if draw.random() < 0.7 else spoil(bytes(draw.choice(good)), draw)
                    for _ in range(draw.randrange(1, 6))]  # fmt: skip
        for number, payload in enumerate(payloads):
            assembler.push(RtpPacket(number, 5, 1, 96, number == len(payloads) - 1, payload, 0), 0)
        frame = assembler.flush()
        count += len(payloads)
        if frame is not None and frame.whole:
            whole += 1
            assert assembler.malformed == 0
            carried = sum(len(payload) for payload in payloads)
            assert sum(len(unit) for unit in frame.units) <= carried
            assert all(0 < unit[0] & 0x1F < 24 and unit[0] < 0x80 for unit in frame.units)
    print(f"{count} payloads in 4000 frames, {whole} of them whole")


def test_headers_of_packets_that_are_spoilt_move_no_sample() -> None:
    """Bits of the header flip: what comes out is a sample that was sent, within what a live stream can tell."""
    draw = random.Random(8)
    sent = delivered = 0
    worst_ms = 0.0
    for _ in range(30):
        bench = Bench()
        bench.report()
        sequence = 65_530
        for number in range(400):
            at_ns = NOW_NS + number * 5 * MS
            bench.host_ns = at_ns + DELAY_NS
            packet = bytearray(
                rtp.rtp_packet(
                    gaze(number), payload_type=99, sequence=sequence + number, timestamp=bench.timestamp(at_ns),
                    ssrc=0xABCD, marker=True,
                )
            )  # fmt: skip
            if draw.random() < 0.1:
                packet[draw.randrange(12)] ^= 1 << draw.randrange(8)
            bench.stream.rtp(bytes(packet))
            if number % 100 == 99:
                bench.report()
            if bench.state.doubted:
                bench.check()
        sent += 400
        delivered += len(bench.got)
        numbers = [round(datum.x) for datum, _, _ in bench.got]
        assert len(set(numbers)) == len(numbers)
        assert set(numbers) <= set(range(400))
        true_ns = NOW_NS + np.array(numbers) * 5 * MS
        host_ns = np.array([host_ns for _, _, host_ns in bench.got])
        assert (np.diff(host_ns) > 0).all()
        worst_ms = max(worst_ms, float(np.abs(host_ns - true_ns).max()) / 1e6)
    # A stamp that lies ahead by less than the delay and the clock's tolerance could be true.
    assert worst_ms <= (DELAY_NS + 50 * MS) / 1e6
    print(f"{sent} packets, a header bit flipped in a tenth: {delivered} came out, {worst_ms:.1f} ms off at most")


def test_any_mixture_of_packets_gives_only_what_was_sent() -> None:
    """Lost, twice, out of order, cut, of others, with reports in between: every sample at its time, or counted."""
    draw = random.Random(9)
    inputs = 0
    for _ in range(60):
        bench = Bench()
        packets = [
            (number, rtp.rtp_packet(
                gaze(number), payload_type=99, sequence=65_000 + number,
                timestamp=bench.timestamp(NOW_NS + number * 5 * MS), ssrc=0xABCD, marker=True,
            ))
            for number in range(300)
        ]  # fmt: skip
        shaken = sorted(packets, key=lambda packet: packet[0] + draw.uniform(0, 4) if packet[0] > 2 else packet[0])
        bench.report()
        kept = set()
        for place, (number, packet) in enumerate(shaken):
            bench.host_ns = NOW_NS + place * 5 * MS + DELAY_NS
            if number > 2 and draw.random() < 0.1:
                continue
            kept.add(number)
            for _ in range(1 + (draw.random() < 0.1)):
                bench.stream.rtp(packet)
            if number > 2 and draw.random() < 0.2:  # by then it is known which source is ours
                cut = packet[: draw.randrange(12)]
                others = packet[:8] + draw.randbytes(4) + packet[12:]
                bench.stream.rtp(draw.choice((cut, others, b"\x40" + packet[1:])))
            if draw.random() < 0.05:
                bench.report()
                bench.stream.rtcp(spoil(REPORT, draw))
            if bench.state.doubted:
                bench.check()
            inputs += 1
        bench.stream.closed()
        assert set(bench.delivered()) <= kept
        missing = 300 - len(bench.got)
        losses = bench.losses()
        explained = losses.get("packets lost", 0) + sum(n for what, n in losses.items() if "refused" in what)
        # Packets after the last one that arrived are not known to be missing.
        assert missing - (299 - max(kept)) <= explained
    print(f"{inputs} packets in 60 mixtures")


RTSP_ANSWERS = {
    "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN\r\n",
    "DESCRIBE": "Content-Type: application/sdp\r\n",
    "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 12345678;timeout=60\r\n",
    "PLAY": "Session: 12345678\r\n",
    "TEARDOWN": "",
    "GET_PARAMETER": "",
}
SDP = "v=0\r\no=- 0 0 IN IP4 0\r\ns=Neon\r\nt=0 0\r\nm=application 0 RTP/AVP 99\r\na=rtpmap:99 x/90000\r\n"


class Nobody:
    """A sink that takes what comes."""

    packets = 0

    def opened(self, _: Description) -> None:
        pass

    def rtp(self, _: bytes) -> bool:
        self.packets += 1
        return True

    def rtcp(self, _: bytes) -> bool:
        return False


async def lying_server(draw: random.Random) -> asyncio.Server:
    """An RTSP server each of whose answers may be spoilt, and that then sends interleaved rubbish."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
            while True:
                request = (await reader.readuntil(b"\r\n\r\n")).decode("latin1")
                method = request.rsplit("\r\n\r\n", 2)[0].splitlines()[0].split()[0].split("$")[-1]
                sequence = request.split("CSeq: ")[1].split("\r\n")[0]
                body = SDP if method == "DESCRIBE" else ""
                head = f"RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\n{RTSP_ANSWERS.get(method, '')}"
                answer = f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
                writer.write(spoil(answer, draw) if draw.random() < 0.4 else answer)
                if method == "PLAY":
                    for _ in range(20):
                        data = spoil(RTP, draw)
                        packet = b"$" + bytes((draw.randrange(2),)) + len(data).to_bytes(2, "big") + data
                        writer.write(spoil(packet, draw) if draw.random() < 0.1 else packet)
                if draw.random() < 0.1:
                    break
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0, backlog=400)


def test_an_rtsp_server_that_talks_rubbish_ends_in_a_reason(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the vendor's RTSP library: always StreamLost, in time, without a traceback."""
    monkeypatch.setattr("gaze_vlm_ros.neon.rtsp_client.REQUEST_S", 2.0)
    draw = random.Random(6)
    sink = Nobody()

    async def attack() -> list[str]:
        server = await lying_server(draw)
        port = server.sockets[0].getsockname()[1]

        async def once() -> str:
            with pytest.raises(StreamLost) as caught:
                await follow_stream(f"rtspt://127.0.0.1:{port}/?camera=gaze", sink, 0.5, media=None)
            return str(caught.value)

        began_s = time.monotonic()
        reasons = await asyncio.wait_for(asyncio.gather(*(once() for _ in range(300))), 240)
        server.close()
        print(
            f"300 sessions in {time.monotonic() - began_s:.1f} s, {sink.packets} packets, {len(set(reasons))} reasons"
        )
        return reasons

    reasons = asyncio.run(attack())
    out, err = capfd.readouterr()
    print(out)
    assert all(reason and "\n" not in reason for reason in reasons)
    assert len(set(reasons)) >= 3
    assert sink.packets
    assert "Traceback" not in out + err
    assert "never retrieved" not in out + err


def test_a_status_that_is_rubbish_is_no_companion_app() -> None:
    """Through the vendor's HTTP client: a status, or an error that the client expects."""
    draw = random.Random(7)
    components = [
        {"model": "Phone", "data": {"battery_level": 1, "battery_state": "OK", "device_id": "x", "device_name": "y",
                                    "ip": "1.2.3.4", "memory": 5, "memory_state": "OK", "time_echo_port": 6}},
        {"model": "Sensor", "data": {"sensor": "gaze", "conn_type": "DIRECT", "connected": True, "ip": "1.2.3.4",
                                     "port": 8086, "protocol": "rtsp", "params": "camera=gaze"}},
    ]  # fmt: skip
    good = json.dumps({"message": "Success", "result": components})

    def spoilt() -> bytes:
        if draw.random() < 0.5:
            return spoil(good.encode(), draw)
        status = json.loads(good)
        target: Any = draw.choice([status, *status["result"], *(part["data"] for part in status["result"])])
        name = draw.choice(list(target))
        target[name] = draw.choice([None, 0, -1, "", "x", [], {}, [[]], {"a": None}, 1e300, True])
        return json.dumps(status).encode()

    async def ask() -> tuple[int, int]:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            body = spoilt()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        read = refused = 0
        async with Device("127.0.0.1", port) as device:
            client = NeonClient(Address("127.0.0.1", port), ("gaze",), lambda *_: None, lambda *_: None)
            for _ in range(400):
                try:
                    await request_status(device)
                    read += 1
                    await asyncio.wait_for(client.connect("gaze", device, is_again=True), 5)
                except CONNECTION_ERRORS:
                    refused += 1
        server.close()
        return read, refused

    read, refused = asyncio.run(ask())
    assert refused == 400  # those that could be read lead nowhere
    print(f"400 statuses, {read} of them readable")


SEEDS = 20  # histories of 20 s each; `make soak` tries SOAK_SEEDS
SOAK_SEEDS = 300


class Phone:
    """A phone that sends gaze over a bad network to a stream, in simulated time; its clock is set now and then."""

    def __init__(self, draw: random.Random, seconds: float, follows: str) -> None:
        self.bench = Bench()
        self.bench.state.steady_ns = lambda: self.bench.host_ns
        self.bench.state.checked(NOW_NS, found_step=False)
        self.draw, self.follows = draw, follows
        self.epoch = draw.randrange(2**32)
        self.steps: list[tuple[int, int]] = []  # host time, ns ahead
        self.connections = 0
        stalls = [(NOW_NS + round(draw.uniform(0, seconds) * 1e9), draw.uniform(0.1, 4.0)) for _ in range(3)]
        self.stalls = [(start_ns, start_ns + round(length_s * 1e9)) for start_ns, length_s in stalls]
        self.stalls_of_echoes = [stall for stall in self.stalls if draw.random() < 0.5]  # or of the stream alone
        for _ in range(draw.randrange(3)):
            size_s = draw.choice((draw.uniform(0.02, 0.3), draw.uniform(0.3, 5.0), draw.uniform(5.0, 3600.0)))
            size_s *= draw.choice((1, -1))
            self.steps.append((NOW_NS + round(draw.uniform(1, seconds) * 1e9), round(size_s * 1e9)))

    def set_ns(self, host_ns: int) -> int:
        return sum(step_ns for at_ns, step_ns in self.steps if at_ns <= host_ns)

    def arrival_ns(self, sent_ns: int) -> int:
        """The network holds everything back while it stalls."""
        arrival_ns = sent_ns + round((0.001 + self.draw.expovariate(1 / 0.005)) * 1e9)
        for start_ns, end_ns in self.stalls:
            if start_ns <= arrival_ns < end_ns:
                arrival_ns = end_ns + (arrival_ns - start_ns) // 1000
        return arrival_ns

    def timestamp(self, host_ns: int) -> int:
        """By the clock as it is, or as if nobody had set it."""
        follows_ns = self.set_ns(host_ns) if self.follows == "samples and reports" else 0
        return (self.epoch + round((host_ns + follows_ns - NOW_NS) * 90_000 / 1e9)) % 2**32

    def report(self, host_ns: int) -> bytes:
        unix_ns = host_ns - OFFSET_NS + (0 if self.follows == "nothing" else self.set_ns(host_ns))
        return rtp.sender_report(
            ssrc=self.ssrc, unix_ns=unix_ns, rtp_timestamp=self.timestamp(host_ns), packets=0, octets=0, cname="x"
        )

    def connect(self) -> None:
        self.ssrc, self.sequence = self.draw.randrange(2**32), self.draw.randrange(2**16)
        self.bench.open()
        self.connections += 1

    def check(self) -> None:
        """The client's look at the clock, unless the network holds it up."""
        now_ns = self.bench.host_ns
        if not any(start_ns <= now_ns < end_ns for start_ns, end_ns in self.stalls_of_echoes):
            self.bench.check(OFFSET_NS - self.set_ns(now_ns))

    def run(self, seconds: float) -> list[float]:
        """Errors in ms of what came out."""
        events: list[tuple[int, int, str, bytes, int]] = []  # arrival, order, kind, data, sent
        for number in range(round(seconds * 200)):
            events.append((0, number, "gaze", gaze(number), NOW_NS + number * 5 * MS))
        pending, order = sorted(events, key=lambda event: event[4]), 0
        heap: list[tuple[int, int, str, bytes]] = []
        next_report_ns, next_check_ns, last_ns = NOW_NS, NOW_NS + 5_000 * MS, {"gaze": 0, "report": 0}
        checked_ns, reconnect_ns = NOW_NS, NOW_NS
        for _, _, _, payload, at_ns in pending:
            while heap and heap[0][0] <= at_ns:
                arrival_ns, _, kind, data = heapq.heappop(heap)
                self.bench.host_ns = max(self.bench.host_ns, arrival_ns)
                try:
                    if kind == "report":
                        self.bench.stream.rtcp(data)
                    else:
                        self.bench.stream.rtp(data)
                except StreamLost:
                    self.bench.stream.closed()
                    heap.clear()
                    reconnect_ns = self.bench.host_ns + 500 * MS
            self.bench.host_ns = max(self.bench.host_ns, at_ns)
            if reconnect_ns and at_ns >= reconnect_ns:
                self.check()
                if not self.bench.state.doubted:
                    self.connect()
                    reconnect_ns, next_report_ns = 0, at_ns
            if at_ns >= next_check_ns or (self.bench.state.doubted and at_ns > checked_ns + 200 * MS):
                self.check()
                checked_ns, next_check_ns = at_ns, at_ns + 5_000 * MS
            if reconnect_ns:
                continue
            order += 1
            if at_ns >= next_report_ns:
                last_ns["report"] = max(last_ns["report"], self.arrival_ns(at_ns))
                heapq.heappush(heap, (last_ns["report"], order, "report", self.report(at_ns)))
                next_report_ns = at_ns + round(self.draw.uniform(1.0, 4.0) * 1e9)
            packet = rtp.rtp_packet(
                payload, payload_type=99, sequence=self.sequence, timestamp=self.timestamp(at_ns), ssrc=self.ssrc,
                marker=True,
            )  # fmt: skip
            self.sequence += 1
            if self.draw.random() > 0.02:
                last_ns["gaze"] = max(last_ns["gaze"], self.arrival_ns(at_ns + 30 * MS))
                heapq.heappush(heap, (last_ns["gaze"], order, "gaze", packet))
        return [abs(host_ns - (NOW_NS + round(datum.x) * 5 * MS)) / 1e6 for datum, _, host_ns in self.bench.got]


@pytest.mark.parametrize("seeds", [SEEDS, pytest.param(SOAK_SEEDS, marks=pytest.mark.soak)])
@pytest.mark.parametrize("follows", ["samples and reports", "reports", "nothing"])
def test_whatever_happens_to_phone_and_network_no_stamp_is_wrong(follows: str, seeds: int) -> None:
    """Stalls of seconds, losses, and a clock that is set by any amount at any moment: right, or not at all."""
    limit_ms = TINY_STEP_NS / 1e6 + 1  # what counts as slewing: two steps may undo each other but for that
    sent = delivered = 0
    worst_ms = 0.0
    for seed in range(seeds):
        phone = Phone(random.Random(f"{seed} {follows}"), 20.0, follows)
        errors_ms = phone.run(20.0)
        sent, delivered = sent + 4000, delivered + len(errors_ms)
        assert max(errors_ms, default=0) < limit_ms, (seed, max(errors_ms), phone.steps, phone.stalls)
        worst_ms = max(worst_ms, *errors_ms)
    print(f"{follows}: {sent} samples sent, {delivered} delivered, {worst_ms:.3f} ms off at most")

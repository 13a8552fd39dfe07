"""An RTSP 1.0 server (RFC 2326) for live streams: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN.

One media session a connection, as the app has it; RTP goes over UDP or interleaved in the connection, as SETUP asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from gaze_vlm_ros.sim.neon_device import rtp
from gaze_vlm_ros.sim.neon_device.clock import PhoneClock
from gaze_vlm_ros.sim.neon_device.wire import ALL, Faults, Wire

logger = logging.getLogger(__name__)

METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 454: "Session Not Found"}
REASONS |= {455: "Method Not Valid in This State", 461: "Unsupported Transport", 501: "Not Implemented"}
REASONS |= {503: "Service Unavailable"}
SESSION_TIMEOUT_S = 60  # what clients are told; they send a keep-alive before it
# Seconds between sender reports: one with PLAY, for no sample has a time before it; then as RFC 3550 6.2 allows.
REPORT_INTERVALS_S = (0.5, 2.5, 5.0)
BURST_PACKETS = 16  # then a pause: a key frame is 100 packets, more than many receive buffers hold
BURST_PAUSE_S = 0.001
MAX_BACKLOG_BYTES = 32 << 20  # of a client that reads its TCP connection too slowly, before it is cut off


_SOUND_ID = 1  # in the control attribute of the sound beside the scene video


@dataclass
class Stream:
    """What one URL offers, and who receives it."""

    name: str  # of the URL's `camera=`
    media: str  # SDP media type
    encoding: str  # SDP rtpmap
    clock_rate_hz: int = 90_000
    payload_type: int = 96
    format_parameters: str = ""  # SDP fmtp
    sessions: list[MediaSession] = field(default_factory=list)
    samples_sent: int = 0
    packets_lost: int = 0  # on purpose
    sent: list[tuple[int, int]] = field(default_factory=list)  # (recorded stamp, acquisition on the host's clock), ns

    async def send(self, device_ns: int, payloads: list[bytes]) -> None:
        """Send one sample, cut into RTP payloads, to everyone who plays the stream."""
        self.samples_sent += 1
        for start in range(0, len(payloads), BURST_PACKETS):
            if start:
                await asyncio.sleep(BURST_PAUSE_S)
            for index in range(start, min(start + BURST_PACKETS, len(payloads))):
                for session in self.sessions:
                    session.send_rtp(device_ns, payloads[index], marker=index == len(payloads) - 1)


@dataclass
class MediaSession:
    """One client's SETUP of one stream."""

    stream: Stream
    clock: PhoneClock
    faults: Faults
    write_rtp: Callable[[bytes], None]
    write_rtcp: Callable[[bytes], None]
    transport_header: str = ""  # as answered to SETUP
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    ssrc: int = field(default_factory=lambda: secrets.randbits(32))
    sequence: int = field(default_factory=lambda: secrets.randbits(16))
    first_timestamp: int = field(default_factory=lambda: secrets.randbits(32))  # random as RFC 3550 5.1 asks
    epoch_ns: int = 0  # device time of first_timestamp
    packets: int = 0
    octets: int = 0
    reports: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.epoch_ns = self._time_of_samples_ns(self.clock.host_now_ns())
        if self.faults.wrap_after_s is not None:
            self.first_timestamp = (1 << 32) - round(self.faults.wrap_after_s * self.stream.clock_rate_hz)
        self.wire = Wire(self.faults, random.Random(f"{self.faults.seed} {self.stream.name}"))

    def _time_of_samples_ns(self, host_ns: int) -> int:
        clock = self.clock if self.faults.stamps_follow_clock else self.clock.steady
        return clock.device_ns(host_ns)

    def timestamp(self, device_ns: int) -> int:
        """RTP timestamp of a moment of the device's clock."""
        ticks, half = (device_ns - self.epoch_ns) * self.stream.clock_rate_hz, 500_000_000
        return (self.first_timestamp + (ticks + half) // 1_000_000_000) & 0xFFFFFFFF

    def send_rtp(self, device_ns: int, payload: bytes, marker: bool) -> None:
        packet = rtp.rtp_packet(
            payload,
            payload_type=self.stream.payload_type,
            sequence=self.sequence,
            timestamp=self.timestamp(device_ns),
            ssrc=self.ssrc,
            marker=marker,
        )
        lost = self.wire.lost
        for leaving in self.wire.put(packet):
            self.write_rtp(leaving)
        self.stream.packets_lost += self.wire.lost - lost
        self.sequence += 1
        self.packets += 1
        self.octets += len(payload)

    def send_report(self) -> None:
        if self.faults.silent & {ALL, self.stream.name}:
            return
        # Read the clock once: a busy machine may pause this program between two readings, and both must be one moment.
        host_ns = self.clock.host_now_ns()
        self.write_rtcp(
            rtp.sender_report(
                ssrc=self.ssrc,
                unix_ns=self.clock.device_ns(host_ns),
                rtp_timestamp=self.timestamp(self._time_of_samples_ns(host_ns)),
                packets=self.packets,
                octets=self.octets,
                cname=f"{self.stream.name}@neon",
            )
        )

    def play(self) -> None:
        """Start sending, with a sender report first: nothing has a time before it."""
        if self.reports is None:
            if not self.faults.report_delay_s:
                self.send_report()
            self.stream.sessions.append(self)
            self.reports = asyncio.get_running_loop().create_task(self._report_for_ever())

    async def _report_for_ever(self) -> None:
        interval = 0
        if self.faults.report_delay_s:
            await asyncio.sleep(self.faults.report_delay_s)
            self.send_report()
        while True:
            await asyncio.sleep(REPORT_INTERVALS_S[interval])
            interval = min(interval + 1, len(REPORT_INTERVALS_S) - 1)
            self.send_report()

    def end(self, goodbye: bool = True) -> None:
        if self.reports is not None:
            self.reports.cancel()
            self.stream.sessions.remove(self)
            self.reports = None
            if goodbye:
                self.write_rtcp(rtp.goodbye(self.ssrc))


@dataclass(frozen=True)
class Request:
    method: str
    url: str
    headers: dict[str, str]

    @staticmethod
    def parse(text: str) -> Request:
        """Raises ValueError when this is no RTSP 1.0 request."""
        first, *lines = text.strip().split("\r\n")
        method, url, version = first.split()
        if version != "RTSP/1.0":
            raise ValueError(f"version {version}")
        headers = dict(line.split(":", 1) for line in lines)
        return Request(method, url, {name.strip().lower(): value.strip() for name, value in headers.items()})


class RtspServer:
    """Serves `streams` on one port; `on_play` is called at every PLAY."""

    def __init__(
        self, streams: list[Stream], clock: PhoneClock, faults: Faults, on_play: Callable[[Stream], None]
    ) -> None:
        self.streams = {stream.name: stream for stream in streams}
        self.clock = clock
        self.faults = faults
        self.on_play = on_play
        self.port = 0
        self._server: asyncio.Server | None = None
        self._datagrams: list[asyncio.DatagramTransport] = []  # RTP, RTCP
        self._connections: set[asyncio.StreamWriter] = set()

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes a free one. Raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(self._serve, host, port)
        self.port = self._server.sockets[0].getsockname()[1]
        for _ in ("RTP", "RTCP"):
            # Receiver reports and the client's NAT probes arrive here and need no answer.
            transport, _protocol = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=(host, 0))
            self._datagrams.append(transport)

    async def stop(self) -> None:
        """Say goodbye on every stream and close every connection."""
        if self._server is None:
            return
        self._server.close()
        for stream in self.streams.values():
            for session in list(stream.sessions):
                session.end()
        for writer in list(self._connections):
            writer.close()
        for writer in list(self._connections):
            with contextlib.suppress(ConnectionError, TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), 1.0)
        for transport in self._datagrams:
            transport.close()

    def abort(self) -> None:
        """Cut every connection off, without a word."""
        for stream in self.streams.values():
            for session in list(stream.sessions):
                session.end(goodbye=False)
        for writer in list(self._connections):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session: MediaSession | None = None
        self._connections.add(writer)
        try:
            while True:
                first = await reader.readexactly(1)
                if first == b"$":  # interleaved data from the client: receiver reports (RFC 2326 10.12)
                    header = await reader.readexactly(3)
                    await reader.readexactly(int.from_bytes(header[1:], "big"))
                    continue
                text = (first + await reader.readuntil(b"\r\n\r\n")).decode("utf-8", "replace")
                try:
                    request = Request.parse(text)
                except ValueError:
                    _respond(writer, "0", 400)
                    break
                await reader.readexactly(int(request.headers.get("content-length", 0)))
                session = self._handle(request, session, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError):
            pass  # the client is gone, or is none
        except asyncio.CancelledError:
            pass  # the device is being switched off
        finally:
            if session is not None:
                session.end()
            self._connections.discard(writer)
            writer.close()

    def _handle(
        self, request: Request, session: MediaSession | None, writer: asyncio.StreamWriter
    ) -> MediaSession | None:
        """Answer one request; the session afterwards."""
        sequence = request.headers.get("cseq", "0")
        logger.debug("%s %s", request.method, request.url)
        if self.faults.refusing:
            _respond(writer, sequence, 503)
        elif request.method == "OPTIONS":
            _respond(writer, sequence, 200, {"Public": METHODS})
        elif request.method in ("DESCRIBE", "SETUP"):
            name = re.search(r"[?&]camera=(\w+)", request.url)
            stream = self.streams.get(name[1]) if name else None
            sound = self.streams.get("audio") if name and name[1] == "world" else None  # the app's second medium there
            if request.method == "SETUP" and request.url.endswith(f"streamid={_SOUND_ID}"):
                stream = sound
            if stream is None:
                _respond(writer, sequence, 404)
            elif request.method == "DESCRIBE":
                address = writer.get_extra_info("sockname")[0]
                _respond(writer, sequence, 200, {"Content-Type": "application/sdp"}, describe(stream, address, sound))
            elif session is not None:
                _respond(writer, sequence, 455)
            elif (session := self._set_up(request, stream, writer)) is None:
                _respond(writer, sequence, 461)
            else:
                headers = {"Transport": session.transport_header}
                _respond(writer, sequence, 200, headers | {"Session": f"{session.id};timeout={SESSION_TIMEOUT_S}"})
        elif session is None:
            _respond(writer, sequence, 455)
        elif request.headers.get("session", "").split(";")[0] != session.id:
            _respond(writer, sequence, 454)
        elif request.method == "PLAY":
            _respond(writer, sequence, 200, {"Session": session.id, "Range": "npt=now-"})
            session.play()
            self.on_play(session.stream)
        elif request.method == "GET_PARAMETER":
            _respond(writer, sequence, 200, {"Session": session.id})
        elif request.method == "TEARDOWN":
            session.end()
            session = None
            _respond(writer, sequence, 200)
        else:
            _respond(writer, sequence, 501)
        return session

    def _set_up(self, request: Request, stream: Stream, writer: asyncio.StreamWriter) -> MediaSession | None:
        """A session by the Transport header (RFC 2326 12.39); None when we cannot do what it asks."""
        wanted = request.headers.get("transport", "")
        interleaved = re.search(r"RTP/AVP/TCP;.*interleaved=(\d+)-(\d+)", wanted)
        ports = re.search(r"RTP/AVP(?:/UDP)?;.*client_port=(\d+)-(\d+)", wanted)
        if interleaved:
            channels = (int(interleaved[1]), int(interleaved[2]))
            send_rtp, send_rtcp = (_interleaver(writer, channel) for channel in channels)
            session = MediaSession(stream, self.clock, self.faults, send_rtp, send_rtcp)
            reply = f"RTP/AVP/TCP;unicast;interleaved={channels[0]}-{channels[1]}"
        elif ports:
            client = writer.get_extra_info("peername")[0]
            session = MediaSession(
                stream,
                self.clock,
                self.faults,
                _datagram_sender(self._datagrams[0], (client, int(ports[1]))),
                _datagram_sender(self._datagrams[1], (client, int(ports[2]))),
            )
            server_ports = "-".join(str(ours.get_extra_info("sockname")[1]) for ours in self._datagrams)
            reply = f"RTP/AVP;unicast;client_port={ports[1]}-{ports[2]};server_port={server_ports}"
        else:
            return None
        session.transport_header = f"{reply};ssrc={session.ssrc:08X}"
        return session


def describe(stream: Stream, address: str, sound: Stream | None = None) -> str:
    """The SDP (RFC 4566) of one stream, and of the sound that comes with it."""
    lines = ["v=0", f"o=- 0 0 IN IP4 {address}", "s=Neon", f"c=IN IP4 {address}", "t=0 0"]
    for number, medium in ((0, stream), (_SOUND_ID, sound)):
        if medium is not None:
            lines.append(f"m={medium.media} 0 RTP/AVP {medium.payload_type}")
            lines.append(f"a=rtpmap:{medium.payload_type} {medium.encoding}/{medium.clock_rate_hz}")
            if medium.format_parameters:
                lines.append(f"a=fmtp:{medium.payload_type} {medium.format_parameters}")
            lines.append(f"a=control:streamid={number}")
    return "\r\n".join([*lines, ""])


def _datagram_sender(ours: asyncio.DatagramTransport, client: tuple[str, int]) -> Callable[[bytes], None]:
    return lambda packet: ours.sendto(packet, client)


def _interleaver(writer: asyncio.StreamWriter, channel: int) -> Callable[[bytes], None]:
    def write(packet: bytes) -> None:
        if writer.is_closing():
            return
        if writer.transport.get_write_buffer_size() > MAX_BACKLOG_BYTES:
            logger.warning("a client reads its stream too slowly: cut off after %d bytes", MAX_BACKLOG_BYTES)
            writer.transport.abort()
            return
        writer.write(b"$" + bytes((channel,)) + len(packet).to_bytes(2, "big") + packet)

    return write


def _respond(
    writer: asyncio.StreamWriter, sequence: str, code: int, headers: dict[str, str] | None = None, body: str = ""
) -> None:
    fields = {"CSeq": sequence, "Server": "gaze_vlm_ros simulated Neon", **(headers or {})}
    if body:
        fields["Content-Length"] = str(len(body.encode()))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    writer.write(f"RTSP/1.0 {code} {REASONS[code]}\r\n{head}\r\n{body}".encode())

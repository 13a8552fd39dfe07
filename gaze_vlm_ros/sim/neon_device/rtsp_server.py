"""An RTSP 1.0 server (RFC 2326) for live streams: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN.

One media session for each connection, like the app; RTP goes over UDP or interleaved in the connection, as SETUP asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable

from gaze_vlm_ros.sim.neon_device.clock import PhoneClock
from gaze_vlm_ros.sim.neon_device.media_session import MediaSession, Stream
from gaze_vlm_ros.sim.neon_device.rtsp_messages import METHODS, SOUND_ID, Request, describe, response
from gaze_vlm_ros.sim.neon_device.wire import Faults

logger = logging.getLogger(__name__)

SESSION_TIMEOUT_S = 60  # announced to clients, which send a keep-alive before it
MAX_BACKLOG_BYTES = 32 << 20  # of a client that reads its TCP connection too slowly, before it is cut off


class RtspServer:
    """Serves `streams` on one port; calls `on_play` at every PLAY."""

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
        """Cut off every connection without a goodbye."""
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
            pass  # the client is gone, or speaks another protocol
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
        """Answer one request; return the session afterwards."""
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
            if request.method == "SETUP" and request.url.endswith(f"streamid={SOUND_ID}"):
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
        """Return a session by the Transport header (RFC 2326 12.39); None for a transport that we do not have."""
        requested = request.headers.get("transport", "")
        interleaved = re.search(r"RTP/AVP/TCP;.*interleaved=(\d+)-(\d+)", requested)
        ports = re.search(r"RTP/AVP(?:/UDP)?;.*client_port=(\d+)-(\d+)", requested)
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
    writer.write(response(sequence, code, headers, body))

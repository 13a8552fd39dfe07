"""One RTSP stream, packet by packet, through aiortsp: the RTSP library inside the vendor's client.

The vendor's own readers on top of it are not used: they deliver stamps that cannot be trusted, pass damaged frames off
as good ones, and end without a reason; docs/eye_tracker.md lists the measurements. Only this module knows aiortsp. It
uses documented parts and overrides public methods only; `untested_versions` reports library versions that it was not
tested with.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
from collections.abc import Callable
from typing import Any, NoReturn
from urllib.parse import urlparse

from aiortsp.__version__ import __version__ as aiortsp_version
from aiortsp.rtsp.connection import RTSPConnection
from aiortsp.rtsp.errors import RTSPConnectionError, RTSPError, RTSPResponseError, RTSPTimeoutError
from aiortsp.rtsp.session import RTSPMediaSession
from aiortsp.transport import RTPTransport, TCPTransport, UDPTransport

from gaze_vlm_ros.neon.description import Description
from gaze_vlm_ros.neon.packet_sink import PacketSink, StreamLost

TESTED_VERSIONS = {"pupil-labs-realtime-api": "1.9.0", "aiortsp": "1.4.1"}
POLL_S = 0.1  # how soon silence and keep-alives are noticed; a connection that breaks is noticed at once
REQUEST_S = 3.0  # for a connection or an answer
GOODBYE_S = 0.5  # for the answer to TEARDOWN


def untested_versions() -> str:
    """Return which libraries have another version than the tested one; empty if none."""
    found = {"pupil-labs-realtime-api": importlib.metadata.version("pupil-labs-realtime-api")}
    found["aiortsp"] = aiortsp_version
    other = [f"{name} is {found[name]}, tested {tested}" for name, tested in TESTED_VERSIONS.items()
             if found[name] != tested]  # fmt: skip
    return "; ".join(other)


async def follow_stream(url: str, sink: PacketSink, silent_s: float, media: str | None) -> NoReturn:
    """Play one stream until it ends, cannot be opened, or is silent for `silent_s`. Raises StreamLost.

    media: which of the description's media to play, "video" or "audio"; None = the first.
    """
    broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    broken.add_done_callback(lambda future: future.cancelled() or future.exception())  # a goodbye while we leave
    try:
        parts = urlparse(url)
        host, port = parts.hostname, parts.port or 554
    except ValueError as error:
        raise StreamLost(f"the phone gives it the address {url} ({error})") from None
    if parts.scheme not in ("rtsp", "rtspt") or not host:
        raise StreamLost(f"the phone gives it the address {url}, expected rtsp:// or rtspt:// and a host")
    over_tcp = parts.scheme == "rtspt"
    # The library's messages would repeat what this module reports, some with tracebacks.
    logger = logging.Logger("aiortsp", logging.CRITICAL + 1)
    connection = _Connection(host, port, logger=logger, timeout=REQUEST_S)
    try:
        async with connection:
            transport = (_OverTcp if over_tcp else _OverUdp)(connection, logger=logger, timeout=0)
            transport.watch(sink, broken)
            async with transport:
                # Like the vendor's readers: by media type for video and audio only.
                session = RTSPMediaSession(connection, url, transport, media, logger=logger)
                try:
                    sink.opened(await _set_up(session, media))
                    await session.play()
                    await _watch(connection, session, transport, broken, silent_s)
                finally:
                    with contextlib.suppress(RTSPError, asyncio.TimeoutError, OSError):
                        await asyncio.wait_for(session.teardown(), GOODBYE_S)
    except RTSPResponseError as error:
        answer = error.response
        why = f"{answer.status} {answer.status_msg}" if answer else str(error)
        raise StreamLost(f"the phone refused to send it: {why}") from None
    except RTSPTimeoutError:
        raise StreamLost(f"the phone did not answer within {REQUEST_S:g} s") from None
    except RTSPConnectionError as error:
        raise StreamLost(str(error.__cause__ or "") or str(error)) from None
    except RTSPError as error:
        raise StreamLost(str(error)) from None
    raise StreamLost("the phone closed the connection")


async def _set_up(session: RTSPMediaSession, media: str | None) -> Description:
    try:
        await session.setup()
        return _description(session.sdp, media)
    except (RTSPError, StreamLost):
        raise
    except Exception as error:  # any type: the library asserts and indexes where an answer is unusual
        raise StreamLost(f"the phone's answer is not understood ({type(error).__name__}: {error})") from None


async def _watch(
    connection: RTSPConnection,
    session: RTSPMediaSession,
    transport: _Watched,
    broken: asyncio.Future[None],
    silent_s: float,
) -> None:
    """Keep the session alive until something ends. Raises StreamLost, or what the sink raised."""
    loop = asyncio.get_running_loop()
    kept_alive_s = transport.last_packet_s = loop.time()
    while connection.running and transport.running:
        await asyncio.wait({connection.result, broken}, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED)
        if broken.done():
            broken.result()
        now_s = loop.time()
        if now_s - transport.last_packet_s > silent_s:
            raise StreamLost(f"nothing came for {silent_s:g} s")
        if now_s - kept_alive_s > session.session_keepalive:
            kept_alive_s = now_s
            await session.keep_alive()
    if connection.result.done():
        connection.result.result()  # raises why


def _description(sdp: Any, kind: str | None) -> Description:
    """Describe the first media of a kind, None = of any kind. Raises StreamLost."""
    for media in sdp.get("medias", []):
        if kind in (None, media["type"]):
            attributes = media.get("attributes", {})
            rtpmap = attributes.get("rtpmap", {})
            encoding, rate_hz = rtpmap.get("encoding", "").lower(), rtpmap.get("clockRate", 0)
            # For "mpeg4-generic/8000/1", which is sound, the library mistakes the channels for the rate.
            name, has_channels, rate = encoding.partition("/")
            rate_hz = int(rate) if has_channels and rate.isdigit() else rate_hz
            if rate_hz > 0:
                return Description(name, rate_hz, rtpmap["pt"], attributes.get("fmtp", {}))
    raise StreamLost("the phone's description of it has no clock rate")


class _Connection(RTSPConnection):
    """Ends quietly, with the reason in `result`, where the original prints a traceback."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.result.add_done_callback(lambda result: result.cancelled() or result.exception())

    def data_received(self, data: bytes) -> None:
        """Parse what arrived; bytes that are not RTSP end the connection."""
        try:
            for message in self.parser.parse(data):
                if message.type == "binary":
                    self.on_binary(message)
                elif message.type == "request":
                    self.on_request(message)
                elif (waiting := self.active_requests.get(message.cseq)) is not None and not waiting.done():
                    waiting.set_result(message)
        except Exception as error:  # whatever its parser runs into on foreign bytes
            if not self.result.done():
                lost = StreamLost(f"what the phone sent is not RTSP ({type(error).__name__})")
                self.result.set_exception(lost)
            self.close()


class _Watched(RTPTransport):
    """Passes every packet to the sink, and what the sink raises to `broken`."""

    last_packet_s = 0.0  # of the loop's clock

    def watch(self, sink: PacketSink, broken: asyncio.Future[None]) -> None:
        """Set where packets and errors go."""
        self._sink, self._broken = sink, broken

    def handle_rtp_data(self, data: bytes) -> None:
        """Pass on an RTP packet; one of this stream shows that it is not silent."""
        if self._guarded(self._sink.rtp, data):
            self.last_packet_s = asyncio.get_running_loop().time()
            self._count(super().handle_rtp_data, data)

    def handle_rtcp_data(self, data: bytes) -> None:
        """Pass on an RTCP packet; a goodbye ends the stream."""
        if self._guarded(self._sink.rtcp, data) and not self._broken.done():
            self._broken.set_exception(StreamLost("the phone ended it"))
        self._count(super().handle_rtcp_data, data)

    def _guarded(self, take: Callable[[bytes], bool], data: bytes) -> bool:
        try:
            return take(data)
        except Exception as error:
            if not self._broken.done():
                self._broken.set_exception(error)
            return False

    def _count(self, take: Callable[[bytes], None], data: bytes) -> None:
        """Let the library count for its receiver reports. It fails on unusual packets, which it then does not count."""
        with contextlib.suppress(Exception):
            take(data)


class _OverUdp(_Watched, UDPTransport):
    pass


class _OverTcp(_Watched, TCPTransport):
    pass

"""The seam between an RTSP connection and the stream that it feeds."""

from __future__ import annotations

from typing import Protocol

from gaze_vlm_ros.neon.description import Description


class StreamLost(ConnectionError):
    """A stream could not be opened, or has ended; the text says why."""


class PacketSink(Protocol):
    """Receives packets in the event loop. An exception raised by a method ends the connection."""

    def opened(self, description: Description) -> None:
        """Start a new connection."""

    def rtp(self, data: bytes) -> bool:
        """Take an RTP packet; return whether it belongs to this stream. A stream without such packets is silent."""

    def rtcp(self, data: bytes) -> bool:
        """Take an RTCP packet; return whether the sender said goodbye."""

"""Which packets at a port belong to the stream, when others arrive there too (RFC 3550 8.2). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from gaze_vlm_ros.neon.packet_sink import StreamLost
from gaze_vlm_ros.neon.rtp import MAX_MISORDER, Goodbye, RtpPacket, SenderReport

SOURCE_LOST_NS = 1_000_000_000  # another source may take over when the first has sent nothing for so long


@dataclass
class SourceFilter:
    """Finds the source of one connection by its packets, then refuses and counts all others."""

    foreign: int = 0  # packets of another source or payload type, over all connections
    _payload_type: int | None = None
    _ssrc: int | None = None
    _candidate: RtpPacket | None = None  # first packet of a source that may be ours
    _report_ssrc: int | None = None
    _last_arrival_ns: int = 0

    def begin(self, payload_type: int | None = None) -> None:
        """Forget the source for a new connection. payload_type: the only one to accept, None = the source's first."""
        self._payload_type = payload_type
        self._ssrc = self._candidate = self._report_ssrc = None

    def admit(self, packet: RtpPacket) -> list[RtpPacket]:
        """Return the packet if it belongs to the stream, together with one held back until its source was known.

        Two packets of one source in sequence show that the source is ours. Raises StreamLost when another source has
        replaced it.
        """
        if self._payload_type not in (None, packet.payload_type):
            self.foreign += 1
            return []
        if self._ssrc is None:
            return self._find_source(packet)
        if packet.ssrc != self._ssrc:
            if packet.arrival_ns - self._last_arrival_ns > SOURCE_LOST_NS:
                raise StreamLost("another source sends in its place")  # a new connection starts from nothing
            self.foreign += 1
            return []
        self._last_arrival_ns = packet.arrival_ns
        return [packet]

    def is_ours(self, report: SenderReport) -> bool:
        """Whether a report is about the stream.

        It should carry the packets' source. A sender that numbers its reports otherwise must keep to that number.
        """
        if self._report_ssrc is None or report.ssrc == self._ssrc:
            self._report_ssrc = report.ssrc
        return report.ssrc == self._report_ssrc

    def has_left(self, goodbye: Goodbye) -> bool:
        """Whether a goodbye is from the stream's source."""
        return self._ssrc in goodbye.ssrcs

    def _find_source(self, packet: RtpPacket) -> list[RtpPacket]:
        first, self._candidate = self._candidate, packet
        if first is None:
            return []
        ahead = (packet.sequence - first.sequence) & 0xFFFF
        if (first.ssrc, first.payload_type) != (packet.ssrc, packet.payload_type) or not 0 < ahead < MAX_MISORDER:
            self.foreign += 1
            return []
        self._ssrc, self._payload_type, self._candidate = packet.ssrc, packet.payload_type, None
        self._last_arrival_ns = packet.arrival_ns
        return [first, packet]

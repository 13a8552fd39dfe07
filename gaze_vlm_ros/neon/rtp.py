"""RTP and RTCP reception (RFC 3550): parse packets, restore their order, give them a time. Pure: no sockets.

Sequence numbers and timestamps wrap; packets get lost, overtake each other and arrive twice; a later sender report
gives the time of a timestamp. The vendor's reader ignores all of that.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

NTP_EPOCH_S = 2_208_988_800  # from 1900-01-01 to 1970-01-01
SENDER_REPORT, GOODBYE = 200, 203  # RTCP packet types
# RFC 3550 A.1: farther ahead or back than this, a sequence number is a mistake or a sender that began again.
MAX_DROPOUT, MAX_MISORDER = 3000, 100


class MalformedPacket(ValueError):
    """Bytes that are not a complete RTP or RTCP packet."""


@dataclass(frozen=True)
class RtpPacket:
    """One packet as it arrived."""

    sequence: int  # 16 bits
    timestamp: int  # 32 bits, in ticks of the stream's clock
    ssrc: int
    payload_type: int
    marker: bool
    payload: bytes
    arrival_ns: int  # on this host's clock


@dataclass(frozen=True)
class SenderReport:
    """The sender's time of one RTP timestamp."""

    ssrc: int
    unix_ns: int
    timestamp: int


@dataclass(frozen=True)
class Goodbye:
    """Announces that these sources send no more."""

    ssrcs: tuple[int, ...]


def parse_rtp(data: bytes, arrival_ns: int) -> RtpPacket:
    """Return an RTP packet without its padding and extension. Raises MalformedPacket."""
    if len(data) < 12:
        raise MalformedPacket(f"{len(data)} bytes are no RTP header")
    first, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", data)
    if first >> 6 != 2:
        raise MalformedPacket(f"RTP version {first >> 6}")
    start, end = 12 + 4 * (first & 0x0F), len(data)
    if first & 0x10:
        if start + 4 > end:
            raise MalformedPacket("a header extension that is cut off")
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
    if first & 0x20:
        if not 0 < data[-1] <= end - start:
            raise MalformedPacket(f"{data[-1]} bytes of padding in {end - start}")
        end -= data[-1]
    if start > end:
        raise MalformedPacket("a header that is cut off")
    return RtpPacket(sequence, timestamp, ssrc, second & 0x7F, bool(second & 0x80), data[start:end], arrival_ns)


def parse_rtcp(data: bytes) -> list[SenderReport | Goodbye]:
    """Return the sender reports and goodbyes of a compound RTCP packet. Raises MalformedPacket."""
    found: list[SenderReport | Goodbye] = []
    for count, kind, body in _rtcp_parts(data):
        if kind == SENDER_REPORT:
            if len(body) < 24 + 24 * count:
                raise MalformedPacket(f"a sender report of {len(body)} bytes with {count} blocks")
            ssrc, seconds, fraction, timestamp = struct.unpack_from("!IIII", body)
            unix_ns = (seconds - NTP_EPOCH_S) * 1_000_000_000 + ((fraction * 1_000_000_000 + (1 << 31)) >> 32)
            found.append(SenderReport(ssrc, unix_ns, timestamp))
        elif kind == GOODBYE:
            if len(body) < 4 * count:
                raise MalformedPacket(f"a goodbye of {len(body)} bytes to {count} sources")
            found.append(Goodbye(struct.unpack_from(f"!{count}I", body)))
    return found


def _rtcp_parts(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Count, packet type and body of each part; all headers are checked first, for a compound is good or bad as one."""
    parts = []
    position = 0
    while position < len(data):
        if position + 4 > len(data):
            raise MalformedPacket("an RTCP header that is cut off")
        first, kind, words = struct.unpack_from("!BBH", data, position)
        end = position + 4 + 4 * words
        if first >> 6 != 2 or end > len(data):
            raise MalformedPacket(f"RTCP version {first >> 6}, {end} of {len(data)} bytes")
        parts.append((first & 0x1F, kind, data[position + 4 : end]))
        position = end
    if not parts:
        raise MalformedPacket("an empty RTCP packet")
    yield from parts


@dataclass
class InOrder:
    """Restores the order of one source's packets, and counts those that are missing before each.

    A packet that overtook others waits for them until later packets show that `max_wait_ns` have passed, or until more
    than `max_waiting` are held; then the missing ones count as lost.
    """

    max_wait_ns: int = 50_000_000  # far above the reordering of a local network
    max_waiting: int = 128  # a key frame's packets
    lost: int = 0
    late: int = 0  # came twice, or after they were given up
    _next: int | None = None  # expected sequence number
    _waiting: dict[int, RtpPacket] = field(default_factory=dict)
    _stray: RtpPacket | None = None  # far from all others; the next packet decides

    def push(self, packet: RtpPacket) -> list[tuple[RtpPacket, int]]:
        """Take a packet; return those that are now next in order, each with the number lost right before it."""
        if self._next is None:
            self._next = packet.sequence
        ahead = signed_difference(packet.sequence, self._next, 16)
        if ahead > MAX_DROPOUT or ahead < -MAX_MISORDER:
            return self._take_stray(packet)
        self.late += self._stray is not None
        self._stray = None
        if ahead < 0 or packet.sequence in self._waiting:
            self.late += 1
            return []
        self._waiting[packet.sequence] = packet
        out = self._run()
        while self._waiting and self._must_give_up(packet.arrival_ns):
            out += self._skip()
        return out

    def flush(self) -> list[tuple[RtpPacket, int]]:
        """Return what still waits, at the end of a connection."""
        out = []
        while self._waiting:
            out += self._skip()
        return out

    def _take_stray(self, packet: RtpPacket) -> list[tuple[RtpPacket, int]]:
        stray, self._stray = self._stray, packet
        if stray is None or packet.sequence != (stray.sequence + 1) & 0xFFFF:
            self.late += stray is not None
            return []
        assert self._next is not None
        out = self.flush()
        missing = max(signed_difference(stray.sequence, self._next, 16), 1)  # at least one: a sender that began again
        self.lost += missing
        self._next, self._stray = (packet.sequence + 1) & 0xFFFF, None
        return [*out, (stray, missing), (packet, 0)]

    def _run(self, missing: int = 0) -> list[tuple[RtpPacket, int]]:
        out = []
        assert self._next is not None
        while (packet := self._waiting.pop(self._next, None)) is not None:
            out.append((packet, missing))
            self._next, missing = (self._next + 1) & 0xFFFF, 0
        return out

    def _must_give_up(self, now_ns: int) -> bool:
        oldest_ns = min(packet.arrival_ns for packet in self._waiting.values())
        return len(self._waiting) > self.max_waiting or now_ns - oldest_ns > self.max_wait_ns

    def _skip(self) -> list[tuple[RtpPacket, int]]:
        """Give up what is missing before the first that waits."""
        assert self._next is not None
        missing = min((sequence - self._next) & 0xFFFF for sequence in self._waiting)
        self.lost += missing
        self._next = (self._next + missing) & 0xFFFF
        return self._run(missing)


@dataclass
class RtpClock:
    """Converts the timestamps of one session to the sender's clock, by its newest sender report.

    The newest report also resolves how often the 32 bits have wrapped. A report that contradicts the one before it is
    not believed, because it may be damaged, unless the sender's clock is known to have been set by that much. If the
    next one agrees with it, the difference was either jitter or a change that invalidates this session.
    """

    rate_hz: int
    tolerance_ns: int = 20_000_000  # between two reports: far above the 0.1 ms that a careful sender needs
    jitter_ns: int = 100_000_000  # of a careless one
    max_age_s: float = 3600.0  # of a report; far below half a wrap, 6.6 h at 90 kHz
    doubted: int = 0
    contradicted: bool = False  # two reports agree with each other and not with the one before them
    _report: SenderReport | None = None
    _doubted: SenderReport | None = None

    def device_ns(self, timestamp: int) -> int | None:
        """Return the sender's time of a timestamp, Unix ns; None before the first report."""
        return None if self._report is None else self._by(self._report, timestamp)

    def add(self, report: SenderReport, steps: Sequence[int] = ()) -> int | None:
        """Take a report; return which of `steps` of the sender's clock it shows, 0 for none, None if not believed.

        `steps` are those that no report has shown yet, ns ahead.
        """
        off_ns = self._off_ns(self._report, report)
        shown_ns = min((0, *steps), key=lambda step_ns: abs(off_ns - step_ns))
        if abs(off_ns - shown_ns) > self.tolerance_ns:
            self.doubted += 1
            agree = self._doubted is not None and abs(self._off_ns(self._doubted, report)) <= self.tolerance_ns
            self._doubted = report
            if not agree or abs(off_ns) > self.jitter_ns or steps:
                self.contradicted |= agree
                return None
            shown_ns = 0
        self._report, self._doubted = report, None
        return shown_ns

    def explain(self, step_ns: int) -> bool:
        """Whether a step of the sender's clock explains the last report that was not believed; if so, believe it."""
        report = self._doubted
        if report is None or abs(self._off_ns(self._report, report) - step_ns) > self.tolerance_ns:
            return False
        self._report, self._doubted = report, None
        return True

    def _by(self, report: SenderReport, timestamp: int) -> int | None:
        ticks = signed_difference(timestamp, report.timestamp, 32)
        if abs(ticks) > self.max_age_s * self.rate_hz:
            return None
        return report.unix_ns + (ticks * 1_000_000_000 + self.rate_hz // 2) // self.rate_hz

    def _off_ns(self, one: SenderReport | None, other: SenderReport) -> int:
        """How far the other report is ahead of what the first predicts; 0 without a first one or if it is too old."""
        expected_ns = None if one is None else self._by(one, other.timestamp)
        return 0 if expected_ns is None else other.unix_ns - expected_ns


def signed_difference(number: int, other: int, bits: int) -> int:
    """Return how far a number of `bits` bits is ahead of another, the shorter way around."""
    half = 1 << (bits - 1)
    return ((number - other + half) & ((1 << bits) - 1)) - half

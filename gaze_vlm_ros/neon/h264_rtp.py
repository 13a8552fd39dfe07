"""Assemble RTP payloads into coded frames, and find out whether each is complete (RFC 6184). Pure: nothing is decoded.

A decoder shows something for damaged data too, so a frame counts as whole only when every packet of it arrived.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from statistics import median

from gaze_vlm_ros.neon.rtp import RtpPacket

SLICE, IDR, SPS, PPS, DELIMITER = 1, 5, 7, 8, 9  # NAL unit types
SLICES = range(1, 6)
STAP_A, FU_A = 24, 28  # RFC 6184 table 1
MAX_FRAME_BYTES = 8 << 20  # above any camera's; more is a sender that never begins a new frame
MAX_UNITS = 4096  # NAL units of a frame, with those carried over to it; aggregates can hold millions of one byte
USUAL_OVER = 9  # intervals between frames of which the median is the usual one


@dataclass(frozen=True)
class CodedFrame:
    """All NAL units with one timestamp."""

    timestamp: int
    arrival_ns: int  # of the last packet
    units: tuple[bytes, ...]  # NAL units without start codes
    whole: bool  # nothing of it is missing
    after_gap: bool  # packets before it are missing: what it builds on may be damaged
    frames_missing: int = 0  # lost entirely right before it, estimated from the time since the last frame

    @property
    def is_key(self) -> bool:
        """Whether it builds on nothing before it."""
        return any(unit[0] & 0x1F == IDR for unit in self.units)

    @property
    def has_parameter_sets(self) -> bool:
        """Whether it carries both SPS and PPS."""
        return {SPS, PPS} <= {unit[0] & 0x1F for unit in self.units}

    @property
    def has_its_head(self) -> bool:
        """Whether its head is complete although packets are missing before it."""
        if self.has_parameter_sets:
            return self.units[0][0] & 0x1F in (SPS, DELIMITER)
        first_slice = next((unit for unit in self.units if unit[0] & 0x1F in SLICES), b"")
        return len(first_slice) > 1 and bool(first_slice[1] & 0x80)  # first_mb_in_slice is 0 (ITU-T H.264, 7.3.3)


@dataclass
class FrameAssembler:
    """Collects the payloads of one timestamp. A frame is complete when the next one begins."""

    malformed: int = 0  # payloads that are no H.264, or of a kind that the glasses do not send
    _timestamp: int | None = None
    _arrival_ns: int = 0
    _units: list[bytes] = field(default_factory=list)
    _carried: list[bytes] = field(default_factory=list)  # parameter sets with a timestamp of their own
    _fragment: bytearray | None = None
    _bytes: int = 0
    _whole: bool = True
    _after_gap: bool = True
    _marker: bool = False  # of the last packet; only the end of a frame should have one
    _markers_lie: bool = False  # this sender has them elsewhere too
    _missing: int = 0
    _last_timestamp: int | None = None
    _intervals: deque[int] = field(default_factory=lambda: deque(maxlen=USUAL_OVER))

    def push(self, packet: RtpPacket, lost_before: int) -> CodedFrame | None:
        """Take a packet; return the frame that it completes by beginning another one."""
        frame = None
        if packet.timestamp != self._timestamp:
            if lost_before and not self._is_marked():
                self._whole = False  # its tail may be among what was lost
            frame = self._close()
            self._begin(packet, lost_before)
        else:
            self._whole &= not lost_before
            self._markers_lie |= self._marker
        self._arrival_ns, self._marker = packet.arrival_ns, packet.marker
        self._bytes += len(packet.payload)
        is_too_long = self._bytes > MAX_FRAME_BYTES or len(self._units) > MAX_UNITS
        if is_too_long or not self._add(packet.payload):
            self.malformed += self._whole  # otherwise its beginning is among what was lost
            self._whole, self._fragment = False, None
        return frame

    def flush(self) -> CodedFrame | None:
        """Return the unfinished frame at the end; whole only if the sender marked its last packet."""
        if not self._fragment and not any(unit[0] & 0x1F in SLICES for unit in self._units):
            self._timestamp = None
        self._whole &= self._is_marked()
        return self._close()

    def _is_marked(self) -> bool:
        return self._marker and not self._markers_lie

    def _begin(self, packet: RtpPacket, lost_before: int) -> None:
        interval = None if self._last_timestamp is None else (packet.timestamp - self._last_timestamp) & 0xFFFFFFFF
        self._missing = 0
        if lost_before and interval and self._intervals:
            frames = round(interval / median(self._intervals)) - 1
            self._missing = min(max(frames, 0), lost_before)
        elif interval and not lost_before:
            self._intervals.append(interval)
        self._timestamp, self._last_timestamp = packet.timestamp, packet.timestamp
        self._after_gap |= bool(lost_before)

    def _close(self) -> CodedFrame | None:
        timestamp, units = self._timestamp, self._units
        whole = self._whole and self._fragment is None
        self._timestamp, self._units, self._fragment, self._bytes = None, [], None, 0
        self._whole, self._marker = True, False
        if timestamp is None:
            return None
        if whole and not any(unit[0] & 0x1F in SLICES for unit in units):
            self._carried += [unit for unit in units if unit[0] & 0x1F != DELIMITER]
            if len(self._carried) > MAX_UNITS or sum(map(len, self._carried)) > MAX_FRAME_BYTES:
                self.malformed += 1  # a sender of everything but pictures
                self._carried = []
            return None
        frame = CodedFrame(timestamp, self._arrival_ns, (*self._carried, *units), whole, self._after_gap, self._missing)
        self._carried, self._after_gap = [], not whole
        return frame

    def _add(self, payload: bytes) -> bool:
        """Take the NAL units of one payload; return whether it was valid."""
        if not payload or payload[0] & 0x80:  # forbidden_zero_bit
            return False
        kind = payload[0] & 0x1F
        if kind == FU_A:
            return self._add_fragment(payload)
        if self._fragment is not None:
            return False  # its end is missing
        if kind == STAP_A:
            return self._add_aggregate(payload)
        if not 0 < kind < STAP_A:
            return False
        self._units.append(payload)
        return True

    def _add_fragment(self, payload: bytes) -> bool:
        if len(payload) < 3:
            return False
        starts, ends = bool(payload[1] & 0x80), bool(payload[1] & 0x40)
        if starts == (self._fragment is not None) or (starts and ends):
            return False
        if starts:
            self._fragment = bytearray(((payload[0] & 0xE0) | (payload[1] & 0x1F),))
        assert self._fragment is not None
        if self._fragment[0] & 0x1F != payload[1] & 0x1F:
            return False
        self._fragment += payload[2:]
        if ends:
            self._units.append(bytes(self._fragment))
            self._fragment = None
        return True

    def _add_aggregate(self, payload: bytes) -> bool:
        position, units = 1, []
        while position < len(payload):
            start = position + 2
            position = start + int.from_bytes(payload[position:start], "big")
            if position > len(payload) or position == start or not 0 < payload[start] < 0x80:
                return False
            units.append(payload[start:position])
        self._units += units
        return bool(units)

"""Counts of one recorded topic: received, written, lost."""

from __future__ import annotations

from dataclasses import dataclass, field

from gaze_vlm_ros.bags.session_records import TopicTotals
from gaze_vlm_ros.bags.stamps import leading_stamp_ns


@dataclass
class TopicTally:
    """Counts of one topic while it is recorded."""

    type_name: str
    stamped: bool  # messages begin with their time of acquisition
    received: int = 0
    written: int = 0  # handed to the operating system: a kill of this process costs nothing of them
    overflowed: int = 0  # dropped by our own full queue
    missed: int = 0  # numbered by the publisher, and never received
    max_gap_s: float = 0.0  # between two consecutive acquisition stamps
    _sequences: dict[bytes, int] = field(default_factory=dict)  # the newest of each publisher
    _stamp_ns: int | None = None

    @property
    def lost(self) -> int:
        return self.missed + self.overflowed

    def count(self, data: bytes, sequence: int, publisher: bytes = b"") -> None:
        """Take note of one received message. `sequence`: its `publisher`'s number of it, one higher each time.

        A number that does not rise means that the publisher was started anew; what was lost in between is unknown.
        """
        self.received += 1
        before = self._sequences.get(publisher)
        if before is not None and sequence > before:
            self.missed += sequence - before - 1
        self._sequences[publisher] = sequence
        if self.stamped and (stamp_ns := leading_stamp_ns(data)) is not None:
            if self._stamp_ns is not None:
                self.max_gap_s = max(self.max_gap_s, (stamp_ns - self._stamp_ns) / 1e9)
            self._stamp_ns = stamp_ns

    def totals(self) -> TopicTotals:
        return TopicTotals(self.received, self.written, self.lost)

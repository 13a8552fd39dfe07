"""Counts of one recorded topic: received, written, lost."""

from __future__ import annotations

from dataclasses import dataclass, field

from gaze_vlm_ros.bags.session_records import TopicTotals
from gaze_vlm_ros.bags.stamps import leading_stamp_ns


@dataclass
class TopicTally:
    """Counts of one topic in one bag."""

    type_name: str
    stamped: bool  # messages begin with their acquisition time
    received: int = 0
    written: int = 0  # handed to the operating system: they survive a kill of this process
    overflowed: int = 0  # dropped by our own full queue
    missed: int = 0  # gaps in the publishers' sequence numbers
    max_gap_s: float = 0.0  # between two consecutive acquisition stamps
    _sequences: dict[bytes, int] = field(default_factory=dict)  # newest number of each publisher
    _stamp_ns: int | None = None

    @property
    def lost(self) -> int:
        """Messages that were published and are not in the bag."""
        return self.missed + self.overflowed

    def count(self, data: bytes, sequence: int, publisher: bytes = b"") -> None:
        """Count one received message.

        sequence: the `publisher`'s number of the message, one higher each time. A number that does not rise means that
        the publisher was restarted; losses in between are unknown.
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
        """Return the counts as a bag stores them."""
        return TopicTotals(self.received, self.written, self.lost)

"""Counts of one recorded topic: received, written, lost."""

from __future__ import annotations

from dataclasses import dataclass, field

from gaze_vlm_ros.bags.session_records import TopicTotals
from gaze_vlm_ros.bags.stamps import leading_stamp_ns

MIXED = b""  # publisher id of a message of one of several publishers, where the middleware does not distinguish them
MAX_PUBLISHERS = 1000  # whose sequence numbers are remembered; a peer may come back as another one without end


@dataclass
class TopicTally:
    """Counts of one topic in one bag."""

    type_name: str
    stamped: bool  # messages begin with their acquisition time
    received: int = 0
    repeated: int = 0  # latched messages of before that were written again
    written: int = 0  # handed to the operating system: they survive a kill of this process
    overflowed: int = 0  # dropped by our own full queue
    missed: int = 0  # gaps in the publishers' sequence numbers
    refused: int = 0  # bytes that are no message of the topic's type
    is_mixed: bool = False  # messages of several publishers came, not distinguished: gaps in their numbers mean nothing
    max_gap_s: float = 0.0  # between two consecutive acquisition stamps
    _sequences: dict[bytes, int] = field(default_factory=dict)  # newest number of each publisher
    _stamp_ns: int | None = None

    @property
    def taken(self) -> int:
        """Messages that belong into the bag: received, or repeated."""
        return self.received + self.repeated

    @property
    def lost(self) -> int:
        """Messages that are known to have been published and are not in the bag."""
        return (0 if self.is_mixed else self.missed) + self.overflowed + self.refused

    @property
    def lost_text(self) -> str:
        """The count for people."""
        if self.is_mixed:
            return f">= {self.lost}" if self.lost else "unknown"
        return str(self.lost)

    def count(self, data: bytes, sequence: int, publisher: bytes) -> None:
        """Count one received message.

        sequence: the `publisher`'s number of the message, one higher each time. A number that does not rise means that
        the publisher was restarted; losses in between are unknown. Where `publisher` is MIXED, all on the way are.
        """
        self._count_missed(sequence, publisher)
        if self.stamped and (stamp_ns := leading_stamp_ns(data)) is not None:
            if self._stamp_ns is not None:
                self.max_gap_s = max(self.max_gap_s, (stamp_ns - self._stamp_ns) / 1e9)
            self._stamp_ns = stamp_ns

    def refuse(self, sequence: int, publisher: bytes) -> None:
        """Count one received message that is not written because its bytes cannot be read."""
        self._count_missed(sequence, publisher)
        self.refused += 1

    def _count_missed(self, sequence: int, publisher: bytes) -> None:
        self.received += 1
        if publisher == MIXED:
            self.is_mixed = True
            return
        before = self._sequences.pop(publisher, None)
        if before is not None and sequence > before:
            self.missed += sequence - before - 1
        self._sequences[publisher] = sequence
        if len(self._sequences) > MAX_PUBLISHERS:
            del self._sequences[next(iter(self._sequences))]  # the one that has been silent for longest

    def totals(self) -> TopicTotals:
        """Return the counts as a bag stores them."""
        return TopicTotals(self.taken, self.written, self.lost, lost_is_known=not self.is_mixed)

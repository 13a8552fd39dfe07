"""What a recorder keeps count of, and the thread that writes. No ROS here."""

from __future__ import annotations

import math
import queue
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gaze_vlm_ros.bag_writer import BagWriter, TopicTotals

_CDR_STAMP = struct.Struct("<iI")  # a stamp begins with seconds and nanoseconds, behind 4 bytes of encapsulation


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
        if self.stamped and len(data) >= 12 and data[1] == 1:
            seconds, nanoseconds = _CDR_STAMP.unpack_from(data, 4)
            stamp_ns = seconds * 1_000_000_000 + nanoseconds
            if self._stamp_ns is not None:
                self.max_gap_s = max(self.max_gap_s, (stamp_ns - self._stamp_ns) / 1e9)
            self._stamp_ns = stamp_ns

    def totals(self) -> TopicTotals:
        return TopicTotals(self.received, self.written, self.lost)


@dataclass(frozen=True)
class TopicState:
    """One topic as it is shown while recording."""

    name: str
    rate_hz: float  # over the last report period
    tally: TopicTally
    note: str = ""  # e.g. the share of valid gaze


def live_table(topics: Sequence[TopicState], free_bytes: int, seconds_left: float, doing: str) -> str:
    """What is going on, a line for each topic; seconds_left: until the disk has no room, infinite = not known yet."""
    width = max([len("topic"), *(len(topic.name) for topic in topics)])
    lines = [f"{'topic':<{width}}      rate  longest gap  received   written      lost"]
    for topic in topics:
        tally = topic.tally
        gap = f"{tally.max_gap_s:9.3f} s" if tally.stamped else "          -"
        counts = f"{tally.received:8d}  {tally.written:8d}  {tally.lost:8d}"
        lines.append(f"{topic.name:<{width}}  {topic.rate_hz:5.0f} Hz  {gap}  {counts}  {topic.note}".rstrip())
    left = f", room for {seconds_left / 60:.0f} minutes" if math.isfinite(seconds_left) else ""
    return "\n".join([*lines, f"{doing}; {free_bytes / 1e9:.1f} GB free{left}"])


def live_line(topics: Sequence[TopicState], free_bytes: int, seconds_left: float, doing: str) -> str:
    """The same in one line, for a log; topics that are silent from the start are left out."""
    parts = [
        f"{topic.name} {topic.tally.written} written ({topic.rate_hz:.0f} Hz, "
        + (f"longest gap {topic.tally.max_gap_s:.3f} s, " if topic.tally.stamped else "")
        + f"{topic.tally.lost} lost"
        + (f", {topic.note})" if topic.note else ")")
        for topic in topics
        if topic.tally.received
    ]
    left = f", room for {seconds_left / 60:.0f} minutes" if math.isfinite(seconds_left) else ""
    return f"{doing}: {', '.join(parts) or 'no message yet'}; {free_bytes / 1e9:.1f} GB free{left}"


def totals_table(tallies: Mapping[str, TopicTally]) -> str:
    """What was recorded and what was lost, one line a topic."""
    width = max([len("topic"), *map(len, tallies)])
    lines = [f"{'topic':<{width}}  received   written      lost  longest gap"]
    for name, tally in tallies.items():
        gap = f"{tally.max_gap_s:9.3f} s" if tally.stamped else "          -"
        lines.append(f"{name:<{width}}  {tally.received:8d}  {tally.written:8d}  {tally.lost:8d}  {gap}")
    return "\n".join(lines)


class BagThread:
    """Writes what it is handed to a bag, in a thread of its own, so that a slow disk never holds up reception.

    queue_bytes: what may wait for the disk; beyond it messages are dropped and counted.
    flush_s: a kill loses at most what came since the last flush; messages count as written once they are flushed.
    sync_s: a loss of power loses at most what came since the last sync; 0 = up to the system, half a minute.
    clock: of the time between flushes, s.
    """

    def __init__(
        self,
        writer: BagWriter,
        tallies: Mapping[str, TopicTally],
        queue_bytes: int,
        flush_s: float,
        clock: Callable[[], float] = time.monotonic,
        sync_s: float = 0.0,
    ) -> None:
        self._writer, self._tallies = writer, tallies
        self._queue_bytes, self._flush_s, self._sync_s, self._clock = queue_bytes, flush_s, sync_s, clock
        self._waiting: queue.SimpleQueue[tuple[str, bytes, int, int, int] | None] = queue.SimpleQueue()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._unflushed: Counter[str] = Counter()  # messages of each topic that the writer has, and the file may not
        self.error: OSError | None = None  # why it gave up writing
        self._sync_error: OSError | None = None
        self.most_waiting_bytes = 0
        self.longest_write_s = 0.0  # of one message or flush: how long the disk, or a split, held up writing
        self._thread = threading.Thread(target=self._run, name="bag")
        self._thread.start()
        self._ended = threading.Event()
        # A thread of its own: to wait for the disk must not hold up writing.
        self._syncing = threading.Thread(target=self._sync, name="sync")
        self._syncing.start()

    def put(self, topic: str, data: bytes, log_time_ns: int, publish_time_ns: int, sequence: int) -> None:
        """Hand over one message; drop it, counted, when too much waits already."""
        with self._lock:
            full = self._waiting_bytes + len(data) > self._queue_bytes
            if full or self.error is not None:
                self._tallies[topic].overflowed += 1
                return
            self._waiting_bytes += len(data)
            self.most_waiting_bytes = max(self.most_waiting_bytes, self._waiting_bytes)
        self._waiting.put((topic, data, log_time_ns, publish_time_ns, sequence))

    def close(self) -> None:
        """Write what waits, the totals and the index. Raises OSError when the disk does not take them."""
        self._waiting.put(None)
        self._thread.join()
        self._ended.set()
        self._syncing.join()
        self._writer.close({name: tally.totals() for name, tally in self._tallies.items()})
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        next_flush = self._clock() + self._flush_s
        stopping = False
        while not stopping:
            try:
                item = self._waiting.get(timeout=self._flush_s)
            except queue.Empty:
                pass
            else:
                if item is None:
                    stopping = True
                else:
                    self._timed(self._write, *item)
            if self._sync_error is not None and self.error is None:
                self._give_up(self._sync_error)
            if stopping or self._clock() >= next_flush:
                self._timed(self._flush)
                next_flush = self._clock() + self._flush_s

    def _sync(self) -> None:
        while self._sync_s and self._sync_error is None and not self._ended.wait(self._sync_s):
            try:
                self._writer.sync()
            except OSError as error:
                self._sync_error = error

    def _timed(self, work: Callable[..., None], *arguments: Any) -> None:
        began = time.monotonic()
        try:
            work(*arguments)
        except OSError as error:
            self._give_up(error)
        self.longest_write_s = max(self.longest_write_s, time.monotonic() - began)

    def _write(self, topic: str, data: bytes, log_time_ns: int, publish_time_ns: int, sequence: int) -> None:
        with self._lock:
            self._waiting_bytes -= len(data)
        self._unflushed[topic] += 1
        if self.error is not None:
            self._give_up(self.error)
        else:
            self._writer.write(topic, data, log_time_ns, publish_time_ns, sequence)

    def _flush(self) -> None:
        if self.error is None:
            self._writer.flush()
            for topic, count in self._unflushed.items():
                self._tallies[topic].written += count
            self._unflushed.clear()

    def _give_up(self, error: OSError) -> None:
        """The disk takes no more. What was not flushed counts as lost: the file may have some of it, or none."""
        self.error = error
        with self._lock:
            for topic, count in self._unflushed.items():
                self._tallies[topic].overflowed += count
        self._unflushed.clear()

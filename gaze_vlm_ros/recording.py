"""What a recorder keeps count of, and the thread that writes. No ROS here."""

from __future__ import annotations

import queue
import struct
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from gaze_vlm_ros.bag_writer import BagWriter, TopicTotals

_CDR_STAMP = struct.Struct(
    "<iI"
)  # std_msgs/Header begins with seconds and nanoseconds, behind 4 bytes of encapsulation


@dataclass
class TopicTally:
    """Counts of one topic while it is recorded."""

    type_name: str
    stamped: bool  # messages begin with a std_msgs/Header
    received: int = 0
    written: int = 0
    overflowed: int = 0  # dropped by our own full queue
    missed: int = 0  # numbered by the publisher, and never received
    max_gap_s: float = 0.0  # between two consecutive acquisition stamps
    _sequence: int | None = None
    _stamp_ns: int | None = None
    _reported: int = 0

    @property
    def lost(self) -> int:
        return self.missed + self.overflowed

    def count(self, data: bytes, sequence: int) -> None:
        """Take note of one received message. `sequence`: the publisher's number of it, one higher each time.

        A number that does not rise means that the publisher was started anew; what was lost in between is unknown.
        """
        self.received += 1
        if self._sequence is not None and sequence > self._sequence:
            self.missed += sequence - self._sequence - 1
        self._sequence = sequence
        if self.stamped and len(data) >= 12 and data[1] == 1:
            seconds, nanoseconds = _CDR_STAMP.unpack_from(data, 4)
            stamp_ns = seconds * 1_000_000_000 + nanoseconds
            if self._stamp_ns is not None:
                self.max_gap_s = max(self.max_gap_s, (stamp_ns - self._stamp_ns) / 1e9)
            self._stamp_ns = stamp_ns

    def received_since_last_call(self) -> int:
        fresh = self.received - self._reported
        self._reported = self.received
        return fresh

    def totals(self) -> TopicTotals:
        return TopicTotals(self.received, self.written, self.lost)


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
    flush_s: a kill loses at most what came since the last flush.
    """

    def __init__(self, writer: BagWriter, tallies: Mapping[str, TopicTally], queue_bytes: int, flush_s: float) -> None:
        self._writer, self._tallies = writer, tallies
        self._queue_bytes, self._flush_s = queue_bytes, flush_s
        self._waiting: queue.SimpleQueue[tuple[str, bytes, int, int, int] | None] = queue.SimpleQueue()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self.error: OSError | None = None  # why it gave up writing
        self._thread = threading.Thread(target=self._run, name="bag")
        self._thread.start()

    def put(self, topic: str, data: bytes, log_time_ns: int, publish_time_ns: int, sequence: int) -> None:
        """Hand over one message; drop it, counted, when too much waits already."""
        with self._lock:
            full = self._waiting_bytes + len(data) > self._queue_bytes
            if not full:
                self._waiting_bytes += len(data)
        if full or self.error is not None:
            self._tallies[topic].overflowed += 1
            return
        self._waiting.put((topic, data, log_time_ns, publish_time_ns, sequence))

    def close(self) -> None:
        """Write what waits, the totals and the index. Raises OSError when the disk does not take them."""
        self._waiting.put(None)
        self._thread.join()
        self._writer.close({name: tally.totals() for name, tally in self._tallies.items()})
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        next_flush = time.monotonic() + self._flush_s
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
                    self._write(*item)
            if time.monotonic() >= next_flush:
                self._flush()
                next_flush = time.monotonic() + self._flush_s

    def _write(self, topic: str, data: bytes, log_time_ns: int, publish_time_ns: int, sequence: int) -> None:
        with self._lock:
            self._waiting_bytes -= len(data)
        if self.error is None:
            try:
                self._writer.write(topic, data, log_time_ns, publish_time_ns, sequence)
            except OSError as error:
                self.error = error
        if self.error is None:
            self._tallies[topic].written += 1
        else:
            self._tallies[topic].overflowed += 1

    def _flush(self) -> None:
        if self.error is None:
            try:
                self._writer.flush()
            except OSError as error:
                self.error = error

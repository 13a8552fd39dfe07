"""The thread that writes a bag while it is recorded. No ROS here."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

from gaze_vlm_ros.bags.writer import BagWriter
from gaze_vlm_ros.recorder.latched import LatchedMessages
from gaze_vlm_ros.recorder.tally import TopicTally


class BagThread:
    """Writes messages to a bag in a thread of its own, so that a slow disk never delays reception.

    queue_bytes: messages that may wait for the disk; beyond it they are dropped and counted.
    flush_s: a kill loses at most the messages since the last flush; messages count as written once they are flushed.
    latched: messages of before that each file of the bag begins with; those of their topics are kept up to date.
    sync_s: a power loss loses at most the messages since the last sync; 0 = up to the system, about 30 s.
    clock: returns the time in s by which flushes are due.
    """

    def __init__(
        self,
        writer: BagWriter,
        tallies: Mapping[str, TopicTally],
        queue_bytes: int,
        flush_s: float,
        clock: Callable[[], float] = time.monotonic,
        sync_s: float = 0.0,
        latched: LatchedMessages | None = None,
        latched_topics: Collection[str] = (),
    ) -> None:
        self._writer, self._tallies = writer, tallies
        self._queue_bytes, self._flush_s, self._sync_s, self._clock = queue_bytes, flush_s, sync_s, clock
        self._latched, self._latched_topics = latched or LatchedMessages(), latched_topics
        self._waiting: queue.SimpleQueue[tuple[str, bytes, int, int, int, bytes] | None] = queue.SimpleQueue()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._unflushed: Counter[str] = Counter()  # messages per topic that were written but not flushed
        self.error: OSError | None = None  # why writing ended early
        self._sync_error: OSError | None = None
        self.most_waiting_bytes = 0
        self.longest_write_s = 0.0  # of one message or flush, delayed e.g. by a slow disk or a split
        self._thread = threading.Thread(target=self._run, name="bag")
        self._thread.start()
        self._ended = threading.Event()
        # Syncs wait for the disk, and must not delay writing: they have a thread of their own.
        self._syncing = threading.Thread(target=self._sync, name="sync")
        self._syncing.start()

    def put(
        self, topic: str, data: bytes, log_time_ns: int, publish_time_ns: int, sequence: int, publisher: bytes = b""
    ) -> None:
        """Queue one message; drop and count it when the queue is full or writing has ended."""
        with self._lock:
            full = self._waiting_bytes + len(data) > self._queue_bytes
            if full or self.error is not None:
                self._tallies[topic].overflowed += 1
                return
            self._waiting_bytes += len(data)
            self.most_waiting_bytes = max(self.most_waiting_bytes, self._waiting_bytes)
        self._waiting.put((topic, data, log_time_ns, publish_time_ns, sequence, publisher))

    def close(self) -> None:
        """Write queued messages, totals and index. Raises OSError when the disk does not take them."""
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
        self._timed(self._repeat, time.time_ns())
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

    def _write(
        self, topic: str, data: bytes, log_time_ns: int, publish_time_ns: int, sequence: int, publisher: bytes
    ) -> None:
        with self._lock:
            self._waiting_bytes -= len(data)
        self._unflushed[topic] += 1
        if self.error is not None:
            self._give_up(self.error)
        else:
            files = self._writer.file_count
            self._writer.write(topic, data, log_time_ns, publish_time_ns, sequence)
            if topic in self._latched_topics:
                self._latched.note(topic, publisher, data)
            if self._writer.file_count != files:
                self._repeat(log_time_ns, but=(topic, publisher))

    def _repeat(self, log_time_ns: int, but: tuple[str, bytes] | None = None) -> None:
        """Write the latched messages into the present file, except the one that is there already."""
        for topic, publisher, data in self._latched:
            if (topic, publisher) != but:
                self._writer.write(topic, data, log_time_ns, log_time_ns)
                self._tallies[topic].repeated += 1
                self._unflushed[topic] += 1

    def _flush(self) -> None:
        if self.error is None:
            self._writer.flush()
            for topic, count in self._unflushed.items():
                self._tallies[topic].written += count
            self._unflushed.clear()

    def _give_up(self, error: OSError) -> None:
        """End writing after a disk error. Unflushed messages count as lost: the file may hold some of them or none."""
        self.error = error
        with self._lock:
            for topic, count in self._unflushed.items():
                self._tallies[topic].overflowed += count
        self._unflushed.clear()

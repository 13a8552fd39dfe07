"""The thread that writes a bag: when it flushes, by the test's own clock, and what it counts as written and lost."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gaze_vlm_ros.bags.writer import BagWriter
from gaze_vlm_ros.recorder.bag_thread import BagThread
from gaze_vlm_ros.recorder.tables import TopicState, live_line
from gaze_vlm_ros.recorder.tally import TopicTally

TOPIC = "/gaze"
WRITE_S = 0.01  # what writing one message takes, by the test's clock


class WatchedWriter(BagWriter):
    """A real bag whose disk is full after `room` flushes. Its clock goes on by WRITE_S with each message."""

    def __init__(self, folder: Path, room: int = 1_000_000) -> None:
        super().__init__(folder, {})
        self.add_topic(TOPIC, "std_msgs/msg/String")
        self.now_s = 0.0
        self.room = room
        self.done: list[str] = []
        self.flushed = threading.Event()
        self.synced = threading.Event()

    def sync(self) -> None:
        super().sync()
        self.synced.set()

    def write(self, *arguments: Any, **more: Any) -> None:
        super().write(*arguments, **more)
        self.now_s += WRITE_S
        self.done.append("write")

    def flush(self) -> None:
        if not self.room:
            raise OSError(28, "No space left on device")
        self.room -= 1
        super().flush()
        self.done.append("flush")
        self.flushed.set()


def bag_thread(writer: WatchedWriter, flush_s: float, sync_s: float = 0.0) -> tuple[BagThread, TopicTally]:
    tally = TopicTally("std_msgs/msg/String", stamped=False)
    return BagThread(writer, {TOPIC: tally}, 1_000_000, flush_s, lambda: writer.now_s, sync_s), tally


def put(thread: BagThread, count: int) -> None:
    for number in range(count):
        thread.put(TOPIC, b"\0\1\0\0\1\0\0\0\0", number, number, number)


def test_a_flush_after_each_flush_s(tmp_path: Path) -> None:
    writer = WatchedWriter(tmp_path / "bag")
    thread, tally = bag_thread(writer, flush_s=20 * WRITE_S)
    put(thread, 1000)
    thread.close()
    runs = [len(run) for run in "".join(word[0] for word in writer.done).split("f")]
    assert max(runs) <= 21  # messages between two flushes; the sum of 20 steps may be a hair below 20 times one
    assert sum(runs) == tally.written == 1000


def test_syncs_go_on_while_it_writes(tmp_path: Path) -> None:
    writer = WatchedWriter(tmp_path / "bag")
    thread, tally = bag_thread(writer, flush_s=WRITE_S, sync_s=0.01)
    for _ in range(3):
        put(thread, 10)
        writer.synced.clear()
        assert writer.synced.wait(60)
    thread.close()
    assert tally.written == 30


def test_a_disk_that_fails_while_it_syncs_ends_the_recording(tmp_path: Path) -> None:
    writer = WatchedWriter(tmp_path / "bag")
    writer.sync = lambda: (_ for _ in ()).throw(OSError(5, "Input/output error"))
    thread, tally = bag_thread(writer, flush_s=WRITE_S, sync_s=0.01)
    deadline_s = time.monotonic() + 200
    while thread.error is None:
        put(thread, 1)
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    put(thread, 5)
    with pytest.raises(OSError, match="Input/output error"):
        thread.close()
    assert tally.lost >= 5


def test_a_message_is_flushed_though_none_follows(tmp_path: Path) -> None:
    writer = WatchedWriter(tmp_path / "bag")
    thread, tally = bag_thread(writer, flush_s=WRITE_S / 2)
    put(thread, 1)
    assert writer.flushed.wait(60)
    thread.close()
    assert tally.written == 1
    # And one that comes while the clock stands still waits for the next flush, that of the end.
    writer = WatchedWriter(tmp_path / "another")
    thread, tally = bag_thread(writer, flush_s=1e6 * WRITE_S)
    put(thread, 3)
    thread.close()
    assert writer.done == ["write"] * 3 + ["flush"]
    assert tally.written == 3


def test_what_a_full_disk_did_not_take_is_lost_and_counted(tmp_path: Path) -> None:
    writer = WatchedWriter(tmp_path / "bag", room=2)
    thread, tally = bag_thread(writer, flush_s=10 * WRITE_S)
    put(thread, 100)
    with pytest.raises(OSError, match="No space left"):
        thread.close()
    put(thread, 5)  # nothing is taken any more
    written = writer.done.index("flush", writer.done.index("flush") + 1) - 1
    assert tally.written == written > 0
    assert tally.lost == 105 - written


def test_a_topic_that_waits_too_long_in_memory_is_dropped_and_counted(tmp_path: Path) -> None:
    writer = WatchedWriter(tmp_path / "bag")
    tally = TopicTally("std_msgs/msg/String", stamped=False)
    thread = BagThread(writer, {TOPIC: tally}, 8, 1.0)  # 9 bytes each: not even one has room
    put(thread, 7)
    thread.close()
    assert (tally.written, tally.lost) == (0, 7)


def test_the_line_of_a_log(tmp_path: Path) -> None:
    tally = TopicTally("sensor_msgs/msg/Imu", stamped=True, received=12, written=9, overflowed=2, max_gap_s=0.0125)
    line = live_line([TopicState("/imu", 100.4, tally, "98% valid")], 5_500_000_000, 600.0, "recording")
    assert line == (
        "recording: /imu 9 written (100 Hz, longest gap 0.013 s, 2 lost, 98% valid); 5.5 GB free, room for 10 minutes"
    )

"""Counts of one topic: losses from publishers' sequence numbers, gaps from stamps."""

import struct

from gaze_vlm_ros.recorder.tally import MAX_PUBLISHERS, MIXED, TopicTally


def stamped(stamp_ns: int, encapsulation: bytes = b"\0\1\0\0") -> bytes:
    return encapsulation + struct.pack("<iI", *divmod(stamp_ns, 1_000_000_000)) + b"rest"


def test_numbers_that_are_missing_are_lost_for_each_publisher_by_itself() -> None:
    tally = TopicTally("a/msg/A", stamped=False)
    for sequence in (1, 2, 5):
        tally.count(b"", sequence, b"first")
    for sequence in (100, 101, 103):
        tally.count(b"", sequence, b"second")
    assert (tally.received, tally.missed, tally.lost) == (6, 3, 3)


def test_a_publisher_that_restarts_has_lost_nothing_that_is_known() -> None:
    tally = TopicTally("a/msg/A", stamped=False)
    for sequence in (7, 8, 1, 2, 0, 0):  # 0 = the middleware gives no number
        tally.count(b"", sequence, b"p")
    assert tally.lost == 0


def test_of_several_publishers_that_are_not_distinguished_losses_are_unknown() -> None:
    """Their numbers look like gaps of hundreds; what the recorder itself drops is known all the same."""
    tally = TopicTally("a/msg/A", stamped=False)
    tally.count(b"", 7, b"first")
    for sequence in (500, 8, 501, 9):
        tally.count(b"", sequence, MIXED)
    tally.count(b"", 900, b"second")
    assert (tally.received, tally.lost, tally.lost_text) == (6, 0, "unknown")
    assert not tally.totals().lost_is_known
    tally.overflowed = 2
    assert (tally.totals().lost, tally.lost_text) == (2, ">= 2")


def test_the_longest_gap_is_that_of_the_stamps() -> None:
    tally = TopicTally("a/msg/A", stamped=True)
    for number, stamp_ms in enumerate((1_999_900, 2_000_100, 2_000_150)):
        tally.count(stamped(stamp_ms * 1_000_000), number, b"p")
    assert tally.max_gap_s == 0.2
    tally.count(stamped(9_000_000_000_000, b"\0\0\0\0"), 3, b"p")  # big endian: not read
    tally.count(b"\0\1\0\0", 4, b"p")  # too short
    assert tally.max_gap_s == 0.2


def test_totals_are_what_the_bag_stores() -> None:
    tally = TopicTally("a/msg/A", stamped=False, received=9, written=5, overflowed=2, missed=1)
    assert (tally.totals().received, tally.totals().written, tally.totals().lost) == (9, 5, 3)


def test_what_cannot_be_read_is_received_and_lost() -> None:
    tally = TopicTally("a/msg/A", stamped=True)
    for sequence in (1, 2):
        tally.count(stamped(0), sequence, b"p")
    tally.refuse(5, b"p")
    tally.count(stamped(0), 6, b"p")
    assert (tally.received, tally.refused, tally.missed, tally.lost) == (4, 1, 2, 3)


def test_publishers_that_come_and_go_for_ever_take_no_memory() -> None:
    tally = TopicTally("a/msg/A", stamped=False)
    for number in range(3 * MAX_PUBLISHERS):
        tally.count(b"", 1, number.to_bytes(4, "big"))
        tally.count(b"", number + 1, b"steady")
    assert len(tally._sequences) == MAX_PUBLISHERS
    assert tally.missed == 0
    tally.count(b"", 3 * MAX_PUBLISHERS + 2, b"steady")
    assert tally.missed == 1

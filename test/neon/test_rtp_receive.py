"""What arrives from the network: parsed, put in order, given a time. Against packets made here and by the simulator."""

import random
import struct

import pytest

from gaze_vlm_ros.neon.rtp import (
    Goodbye,
    InOrder,
    MalformedPacket,
    RtpClock,
    RtpPacket,
    SenderReport,
    parse_rtcp,
    parse_rtp,
)
from gaze_vlm_ros.neon.timing import Intervals
from gaze_vlm_ros.sim.neon_device import rtp as sender

NOW_NS = 1_700_000_000_000_000_000
RATE_HZ = 90_000


def make(sequence: int, timestamp: int = 0, arrival_ms: float = 0.0) -> RtpPacket:
    arrival_ns = NOW_NS + round(arrival_ms * 1e6)
    return RtpPacket(sequence & 0xFFFF, timestamp, 7, 96, False, sequence.to_bytes(8, "big", signed=True), arrival_ns)


def numbers(ready: list[tuple[RtpPacket, int]]) -> list[int]:
    return [int.from_bytes(packet.payload, "big", signed=True) for packet, _ in ready]


def test_a_packet_of_the_simulator() -> None:
    data = sender.rtp_packet(b"abc", payload_type=99, sequence=65_535, timestamp=2**32 - 1, ssrc=7, marker=True)
    assert parse_rtp(data, NOW_NS) == RtpPacket(65_535, 2**32 - 1, 7, 99, True, b"abc", NOW_NS)


def test_padding_extension_and_contributors_are_no_payload() -> None:
    extension = b"\xbe\xde" + (2).to_bytes(2, "big") + bytes(8)
    header = struct.pack("!BBHII", 0x80 | 0x20 | 0x10 | 2, 99, 1, 2, 3)
    assert parse_rtp(header + bytes(8) + extension + b"abc" + b"\0\0\3", NOW_NS).payload == b"abc"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(11),
        struct.pack("!BBHII", 0x40, 99, 1, 2, 3),  # version 1
        struct.pack("!BBHII", 0x80 | 3, 99, 1, 2, 3) + bytes(8),  # three contributors announced, two there
        struct.pack("!BBHII", 0x80 | 0x10, 99, 1, 2, 3) + b"\0\0\0\2" + bytes(4),  # an extension cut off
        struct.pack("!BBHII", 0x80 | 0x20, 99, 1, 2, 3) + b"ab\0",  # padding of nothing
        struct.pack("!BBHII", 0x80 | 0x20, 99, 1, 2, 3) + b"ab\x09",  # padding of more than there is
    ],
)
def test_what_is_no_rtp_packet(data: bytes) -> None:
    with pytest.raises(MalformedPacket):
        parse_rtp(data, NOW_NS)


def test_reports_and_goodbyes_of_the_simulator() -> None:
    report = sender.sender_report(
        ssrc=3, unix_ns=NOW_NS + 123_456_789, rtp_timestamp=11, packets=5, octets=6, cname="a"
    )
    assert parse_rtcp(report) == [SenderReport(3, NOW_NS + 123_456_789, 11)]
    assert parse_rtcp(sender.goodbye(9)) == [Goodbye((9,))]
    unknown = struct.pack("!BBHI", 0x80, 207, 1, 3)  # an extended report, RFC 3611
    assert parse_rtcp(unknown + report) == [SenderReport(3, NOW_NS + 123_456_789, 11)]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        struct.pack("!BBH", 0x80, 200, 6) + bytes(20),  # shorter than it says
        struct.pack("!BBH", 0x80, 200, 5) + bytes(20),  # shorter than a sender report
        struct.pack("!BBH", 0x81, 200, 6) + bytes(24),  # a report block announced, none there
        struct.pack("!BBH", 0x82, 203, 1) + bytes(4),  # two sources announced, one there
        sender.goodbye(9) + b"\x40\0\0\0",  # another version behind a good part
    ],
)
def test_what_is_no_rtcp_packet(data: bytes) -> None:
    with pytest.raises(MalformedPacket):
        parse_rtcp(data)


def test_order_across_the_wrap_of_the_sequence() -> None:
    order = InOrder()
    sent = [65_533, 65_534, 65_536, 65_535, 65_538, 65_537, 65_539]
    assert [number for each in sent for number in numbers(order.push(make(each)))] == list(range(65_533, 65_540))
    assert (order.lost, order.late) == (0, 0)


def test_losses_are_counted_where_they_are() -> None:
    order = InOrder()
    order.push(make(10))
    assert order.push(make(13, arrival_ms=1)) == []  # 11 and 12 may still come
    ready = order.push(make(14, arrival_ms=60))
    assert [(number, lost) for number, (_, lost) in zip(numbers(ready), ready, strict=True)] == [(13, 2), (14, 0)]
    assert order.push(make(12, arrival_ms=61)) == []  # too late
    assert order.push(make(14, arrival_ms=62)) == []  # twice
    assert (order.lost, order.late) == (2, 2)
    order.push(make(16, arrival_ms=63))
    assert numbers(order.flush()) == [16]
    assert order.lost == 3


def test_a_sequence_far_off_needs_a_second_one_that_agrees() -> None:
    order = InOrder()
    order.push(make(10))
    assert order.push(make(30_000)) == []
    assert numbers(order.push(make(11))) == [11]
    assert order.late == 1
    assert order.push(make(40_000)) == []
    ready = order.push(make(40_001))  # the sender has begun again, or an outage was long
    assert [(number, lost) for number, (_, lost) in zip(numbers(ready), ready, strict=True)] == [
        (40_000, 1),  # how many cannot be known
        (40_001, 0),
    ]


def test_any_loss_reordering_and_duplication_leaves_order_and_true_counts() -> None:
    draw = random.Random(5)
    inputs = 0
    for _ in range(200):
        first = draw.randrange(65_536)
        kept = [number for number in range(first, first + 300) if number in (first, first + 299) or draw.random() > 0.1]
        shaken = sorted(kept, key=lambda number: number + draw.uniform(0, 6) if number > first else number)
        sent = [number for number in shaken for _ in range(1 + (draw.random() < 0.1))]
        order = InOrder()
        got = []
        for arrival_ms, number in enumerate(sent):
            got += order.push(make(number, arrival_ms=arrival_ms))
        got += order.flush()
        assert numbers(got) == kept
        assert order.lost == sum(lost for _, lost in got) == 300 - len(kept)
        assert order.late == len(sent) - len(kept)
        inputs += len(sent)
    print(f"{inputs} packets in 200 orders")


def clock_at(timestamp: int, unix_ns: int = NOW_NS) -> RtpClock:
    clock = RtpClock(RATE_HZ)
    assert clock.add(SenderReport(1, unix_ns, timestamp)) == 0
    return clock


def test_no_time_before_a_report() -> None:
    assert RtpClock(RATE_HZ).device_ns(5) is None


@pytest.mark.parametrize("timestamp", [0, 5, 2**31, 2**32 - 5])
def test_timestamps_go_through_the_wrap_in_both_directions(timestamp: int) -> None:
    clock = clock_at(timestamp)
    for seconds in (-600, -1, 0, 1, 600):
        assert clock.device_ns((timestamp + seconds * RATE_HZ) % 2**32) == NOW_NS + seconds * 1_000_000_000


def test_a_day_of_reports_through_two_wraps() -> None:
    clock = RtpClock(RATE_HZ)
    for seconds in range(0, 100_000, 5):
        timestamp = (2**32 - 100 + seconds * RATE_HZ) % 2**32
        assert clock.add(SenderReport(1, NOW_NS + seconds * 1_000_000_000, timestamp)) == 0
        assert clock.device_ns((timestamp + 900) % 2**32) == NOW_NS + seconds * 1_000_000_000 + 10_000_000


def test_a_time_far_from_any_report_is_none() -> None:
    assert clock_at(0).device_ns(3601 * RATE_HZ) is None


def report(seconds: int, ahead_s: float = 0.0) -> SenderReport:
    """What `clock_at(0)` expects after some seconds, and how far it is ahead of that."""
    return SenderReport(1, NOW_NS + round((seconds + ahead_s) * 1e9), seconds * RATE_HZ)


def test_a_report_that_disagrees_is_not_believed() -> None:
    clock = clock_at(0)
    assert clock.add(report(1, 0.019)) == 0
    assert clock.add(report(2, 7.0)) is None
    assert clock.device_ns(2 * RATE_HZ) == NOW_NS + 2_019_000_000
    assert clock.add(report(3)) == 0  # the odd one was damaged
    assert not clock.contradicted
    assert clock.add(report(4, 7.0)) is None
    assert clock.add(report(5, 7.01)) is None  # it was not
    assert clock.contradicted
    assert clock.doubted == 3


def test_jitter_of_a_sender_counts_once_two_reports_have_it() -> None:
    clock = clock_at(0)
    assert clock.add(report(1, 0.06)) is None
    assert clock.add(report(2, 0.07)) == 0
    assert clock.device_ns(2 * RATE_HZ) == NOW_NS + 2_070_000_000
    assert not clock.contradicted


@pytest.mark.parametrize("step_s", [3.0, -3.0, 0.2, -0.05])
def test_a_report_shows_that_the_clock_was_set(step_s: float) -> None:
    step_ns = round(step_s * 1e9)
    clock = clock_at(0)
    assert clock.add(report(1), [step_ns]) == 0  # from before
    assert clock.add(report(2, step_s + 0.01), [40_000_000_000, step_ns]) == step_ns
    assert clock.device_ns(2 * RATE_HZ) == NOW_NS + round((2 + step_s + 0.01) * 1e9)


def test_a_report_that_was_not_believed_may_be_explained_later() -> None:
    clock = clock_at(0)
    assert clock.add(report(1, 3.01)) is None
    assert not clock.explain(-3_000_000_000)
    assert clock.explain(3_000_000_000)
    assert clock.device_ns(RATE_HZ) == NOW_NS + 4_010_000_000
    assert not clock.explain(3_000_000_000)


MS = 1_000_000


def intervals(*times_ms: float) -> Intervals:
    made = Intervals()
    for time_ms in times_ms:
        made.take(round(time_ms * MS), is_regular=True)
    return made


def test_jumps_are_what_samples_do_not_do_by_themselves() -> None:
    steady = intervals(*range(0, 100, 5))
    assert steady.excess_ns(100 * MS, 0) == 0
    assert steady.excess_ns(110 * MS, 2) == 0  # two were lost in between
    assert steady.excess_ns(3_100 * MS, 0) == 3_000 * MS
    jumps = {excess_ms: steady.is_jump(excess_ms * MS) for excess_ms in (-3000, -6, -4, 0, 17, 18, 3000)}
    assert [excess_ms for excess_ms, is_jump in jumps.items() if is_jump] == [-3000, -6, 18, 3000]
    steady.skip()
    assert steady.excess_ns(105 * MS, 0) == 0
    steady.take(3_100 * MS, is_regular=False)
    assert steady.excess_ns(3_105 * MS, 0) == 0


def test_nothing_jumps_before_it_is_known_how_samples_come() -> None:
    assert intervals().excess_ns(5, 0) == 0
    assert intervals(0).excess_ns(3_000 * MS, 0) == 0

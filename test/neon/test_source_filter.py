"""Whose packets arrive at a port."""

import pytest

from gaze_vlm_ros.neon.packet_sink import StreamLost
from gaze_vlm_ros.neon.rtp import Goodbye, RtpPacket, SenderReport
from gaze_vlm_ros.neon.source_filter import SourceFilter

OURS, OTHER = 0xABCD, 5


def packet(sequence: int, ssrc: int = OURS, kind: int = 99, arrival_ns: int = 0) -> RtpPacket:
    return RtpPacket(sequence & 0xFFFF, 0, ssrc, kind, True, b"", arrival_ns)


def numbers(packets: list[RtpPacket]) -> list[int]:
    return [admitted.sequence for admitted in packets]


def begun(payload_type: int | None = None) -> SourceFilter:
    source = SourceFilter()
    source.begin(payload_type)
    return source


def test_two_packets_in_sequence_show_the_source_and_none_is_lost() -> None:
    source = begun()
    assert source.admit(packet(65_535)) == []
    assert numbers(source.admit(packet(65_536))) == [65_535, 0]
    assert numbers(source.admit(packet(1))) == [1]
    assert source.foreign == 0


@pytest.mark.parametrize("second", [packet(8, OTHER), packet(8, kind=98), packet(7), packet(5_000)])
def test_packets_that_do_not_follow_each_other_show_no_source(second: RtpPacket) -> None:
    source = begun()
    source.admit(packet(7))
    assert source.admit(second) == []
    assert source.foreign == 1
    follower = RtpPacket((second.sequence + 1) & 0xFFFF, 0, second.ssrc, second.payload_type, True, b"", 0)
    assert len(source.admit(follower)) == 2  # the second was the first of another source


def test_once_the_source_is_known_others_are_refused_and_counted() -> None:
    source = begun()
    source.admit(packet(1))
    source.admit(packet(2))
    assert source.admit(packet(3, OTHER)) == []
    assert source.admit(packet(3, kind=98)) == []
    assert numbers(source.admit(packet(3))) == [3]
    assert source.foreign == 2


def test_the_payload_type_of_the_description_is_the_only_one() -> None:
    source = begun(96)
    assert source.admit(packet(1)) == []
    assert source.foreign == 1
    source.admit(packet(2, kind=96))
    assert numbers(source.admit(packet(3, kind=96))) == [2, 3]


def test_another_source_that_takes_over_ends_the_connection() -> None:
    source = begun()
    source.admit(packet(1, arrival_ns=0))
    source.admit(packet(2, arrival_ns=10))
    assert source.admit(packet(900, OTHER, arrival_ns=1_000_000_010)) == []
    with pytest.raises(StreamLost, match="another source sends in its place"):
        source.admit(packet(901, OTHER, arrival_ns=1_000_000_011))
    source.begin()
    source.admit(packet(902, OTHER, arrival_ns=1_000_000_012))
    assert numbers(source.admit(packet(903, OTHER, arrival_ns=1_000_000_013))) == [902, 903]
    assert source.foreign == 1  # counted over all connections


def test_reports_belong_to_the_packets_source_or_keep_to_one_of_their_own() -> None:
    source = begun()
    assert source.is_ours(SenderReport(OTHER, 0, 0))
    assert not source.is_ours(SenderReport(7, 0, 0))
    source.admit(packet(1))
    source.admit(packet(2))
    assert source.is_ours(SenderReport(OURS, 0, 0))
    assert not source.is_ours(SenderReport(OTHER, 0, 0))


def test_goodbyes() -> None:
    source = begun()
    assert not source.has_left(Goodbye((OURS,)))
    source.admit(packet(1))
    source.admit(packet(2))
    assert source.has_left(Goodbye((OTHER, OURS)))
    assert not source.has_left(Goodbye((OTHER,)))

"""Our packets as the client's own parsers read them."""

import random

import pytest
from aiortsp.rtcp.parser import BYE, RTCP, SDES, SR
from dpkt.rtp import RTP
from pupil_labs.realtime_api.streaming.nal_unit import extract_payload_from_nal_unit

from gaze_vlm_ros.sim.neon_device import rtp


@pytest.mark.parametrize("size", [1, 1399, 1400, 1401, 2798, 2799, 100_000])
def test_a_nal_unit_survives_fragmentation(size: int) -> None:
    unit = bytes([0x65]) + random.Random(size).randbytes(size - 1)
    payloads = list(rtp.packetize_nal_unit(unit))
    assert all(len(payload) <= 1400 for payload in payloads)
    assert b"".join(bytes(extract_payload_from_nal_unit(payload)) for payload in payloads) == b"\0\0\0\1" + unit
    if size > 1400:  # exactly one start and one end bit, RFC 6184 5.8
        assert [payload[1] >> 6 for payload in payloads] == [2] + [0] * (len(payloads) - 2) + [1]


def test_rtp_header() -> None:
    packet = RTP(rtp.rtp_packet(b"abc", payload_type=99, sequence=65_537, timestamp=2**32 + 5, ssrc=7, marker=True))
    assert (packet.version, packet.pt, packet.m, packet.seq, packet.ts, packet.ssrc) == (2, 99, 1, 1, 5, 7)
    assert packet.data == b"abc"


@pytest.mark.parametrize("cname", ["a@b", "ab@b", "abc@b", "abcd@b"])  # all four paddings
def test_sender_report(cname: str) -> None:
    unix_ns = 1_700_000_000_123_456_789
    data = rtp.sender_report(ssrc=3, unix_ns=unix_ns, rtp_timestamp=11, packets=5, octets=600, cname=cname)
    report, description = RTCP.unpack(data).packets
    assert isinstance(report, SR)
    assert isinstance(description, SDES)
    assert report.ntp == pytest.approx(unix_ns / 1e9, abs=5e-7)  # a double holds no more of Unix time
    assert (report.ssrc, report.ts, report.pkt_count, report.byte_count) == (3, 11, 5, 600)
    assert description.items == [(3, [(1, cname.encode())])]
    assert len(data) % 4 == 0


def test_ntp_fraction_is_rounded() -> None:
    assert rtp.ntp_timestamp(0) == 2_208_988_800 << 32
    assert rtp.ntp_timestamp(500_000_000) == (2_208_988_800 << 32) + (1 << 31)


def test_goodbye() -> None:
    assert [type(packet) for packet in RTCP.unpack(rtp.goodbye(9)).packets][-1] is BYE
    assert RTCP.unpack(rtp.goodbye(9)).packets[-1].ssrcs == [9]

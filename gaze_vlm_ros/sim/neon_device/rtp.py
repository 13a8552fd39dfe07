"""RTP and RTCP packets (RFC 3550) and the H.264 payload format (RFC 6184). Pure functions."""

from __future__ import annotations

import struct
from collections.abc import Iterator

# Fits an Ethernet frame of 1500 bytes with room for IP, UDP and RTP headers and a tunnel's.
MAX_PAYLOAD_BYTES = 1400
NTP_EPOCH_S = 2_208_988_800  # from 1900-01-01 to 1970-01-01
FU_A = 28  # NAL unit type of a fragment, RFC 6184 table 1
ACCESS_UNIT_DELIMITER = b"\x09\xf0"  # NAL unit type 9: the frame before it is complete, any slice type may follow


def rtp_packet(payload: bytes, *, payload_type: int, sequence: int, timestamp: int, ssrc: int, marker: bool) -> bytes:
    """One RTP packet without extensions, RFC 3550 section 5.1. `timestamp` and `sequence` wrap as the wire's do."""
    second = (marker << 7) | payload_type
    return struct.pack("!BBHII", 0x80, second, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload


def packetize_nal_unit(unit: bytes, max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> Iterator[bytes]:
    """RTP payloads of one NAL unit: itself where it fits, otherwise FU-A fragments (RFC 6184 sections 5.6 and 5.8)."""
    if len(unit) <= max_payload_bytes:
        yield unit
        return
    indicator = (unit[0] & 0xE0) | FU_A
    unit_type = unit[0] & 0x1F
    step = max_payload_bytes - 2  # the FU indicator and the FU header
    body = memoryview(unit)[1:]  # the header's content travels in the two FU bytes
    for start in range(0, len(body), step):
        first = start == 0
        last = start + step >= len(body)
        yield bytes((indicator, (first << 7) | (last << 6) | unit_type)) + body[start : start + step]


def ntp_timestamp(unix_ns: int) -> int:
    """64-bit NTP timestamp (seconds since 1900 and a 32-bit fraction) of a Unix time, rounded."""
    return (NTP_EPOCH_S << 32) + ((unix_ns << 32) + 500_000_000) // 1_000_000_000


def sender_report(*, ssrc: int, unix_ns: int, rtp_timestamp: int, packets: int, octets: int, cname: str) -> bytes:
    """A compound RTCP packet: sender report (RFC 3550 section 6.4.1) and the CNAME that must go with it (6.5)."""
    ntp = ntp_timestamp(unix_ns)
    report = struct.pack(
        "!BBHIQIII",
        *(0x80, 200, 6, ssrc, ntp, rtp_timestamp & 0xFFFFFFFF, packets & 0xFFFFFFFF, octets & 0xFFFFFFFF),
    )
    text = cname.encode()
    chunk = struct.pack("!IBB", ssrc, 1, len(text)) + text
    chunk += b"\0" * (4 - len(chunk) % 4)  # at least one: it ends the list of items
    return report + struct.pack("!BBH", 0x81, 202, len(chunk) // 4) + chunk


def goodbye(ssrc: int) -> bytes:
    """RTCP BYE, RFC 3550 section 6.6, after the empty receiver report that a compound packet must start with."""
    return struct.pack("!BBHI", 0x80, 201, 1, ssrc) + struct.pack("!BBHI", 0x81, 203, 1, ssrc)

"""Convert between ROS stamps (seconds and nanoseconds) and integer nanoseconds since the epoch. No ROS needed.

All times in this package are int64 nanoseconds: a float64 resolves today's Unix time only to 256 ns.
"""

from __future__ import annotations

import struct
from typing import Any

SECOND_NS = 1_000_000_000
_CDR_STAMP = struct.Struct("<iI")  # seconds, nanoseconds


def nanoseconds(stamp: Any) -> int:
    """Return a Time or Duration (`sec`, `nanosec`) in nanoseconds. Any object with these fields will do."""
    return int(stamp.sec) * SECOND_NS + int(stamp.nanosec)


def duration_s(duration: Any) -> float:
    """Return a Duration (`sec`, `nanosec`) in seconds. Do not use it for a Time, which a float cannot hold."""
    return nanoseconds(duration) / SECOND_NS


def split_ns(stamp_ns: int) -> tuple[int, int]:
    """Return (seconds, nanoseconds below one second) of a time in nanoseconds, as a Time or Duration stores them.

    The nanoseconds are never negative: -1 ns is (-1, 999_999_999).
    """
    return divmod(stamp_ns, SECOND_NS)


def header_stamp_ns(message: Any) -> int:
    """Return the acquisition time (`header.stamp`) of a message, ns."""
    return nanoseconds(message.header.stamp)


def acquisition_ns(message: Any) -> int:
    """Return the acquisition time of a message, ns: `header.stamp`, or Foxglove's `timestamp` if it has no header."""
    return header_stamp_ns(message) if hasattr(message, "header") else nanoseconds(message.timestamp)


def leading_stamp_ns(cdr: memoryview | bytes) -> int | None:
    """Return the stamp at the start of a serialized message, ns, without decoding the rest.

    cdr: serialized message, including the 4 bytes of encapsulation.
    Returns None where the bytes are not little-endian CDR, or too few: decode the message instead.
    """
    if len(cdr) < 12 or cdr[1] != 1:
        return None
    whole, rest_ns = _CDR_STAMP.unpack_from(cdr, 4)
    return int(whole) * SECOND_NS + int(rest_ns)

"""Times of ROS messages as integers of nanoseconds, and back."""

from __future__ import annotations

from typing import Any

from builtin_interfaces.msg import Duration, Time

_SECOND_NS = 1_000_000_000


def nanoseconds(stamp: Any) -> int:
    """Of a builtin_interfaces Time or Duration."""
    return int(stamp.sec) * _SECOND_NS + int(stamp.nanosec)


def time_of(stamp_ns: int) -> Time:
    seconds, rest_ns = divmod(stamp_ns, _SECOND_NS)
    return Time(sec=seconds, nanosec=rest_ns)


def duration_of(seconds: float) -> Duration:
    whole, rest_ns = divmod(round(seconds * 1e9), _SECOND_NS)
    return Duration(sec=whole, nanosec=rest_ns)

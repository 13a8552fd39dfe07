"""Build ROS Time and Duration messages from numbers. bags/stamps.py holds the arithmetic and the way back."""

from __future__ import annotations

from builtin_interfaces.msg import Duration, Time

from gaze_vlm_ros.bags.stamps import SECOND_NS, split_ns


def time_of(stamp_ns: int) -> Time:
    """Return a time in nanoseconds since the epoch as a Time message."""
    whole, rest_ns = split_ns(stamp_ns)
    return Time(sec=whole, nanosec=rest_ns)


def duration_of(seconds: float) -> Duration:
    """Return a duration in seconds as a Duration message, rounded to the nanosecond."""
    whole, rest_ns = split_ns(round(seconds * SECOND_NS))
    return Duration(sec=whole, nanosec=rest_ns)

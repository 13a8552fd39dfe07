"""Stamps of messages as integer nanoseconds, and back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gaze_vlm_ros.bags.message_types import message_class, serialize
from gaze_vlm_ros.bags.stamps import (
    acquisition_ns,
    duration_s,
    header_stamp_ns,
    leading_stamp_ns,
    nanoseconds,
    split_ns,
)

TODAY_NS = 1_764_435_397_123_456_789  # a float64 cannot hold it


def time(stamp_ns: int) -> Any:
    return message_class("builtin_interfaces/msg/Time")(*split_ns(stamp_ns))


@pytest.mark.parametrize("stamp_ns", [0, 1, 999_999_999, 1_000_000_000, TODAY_NS, (2**31 - 1) * 10**9, -1, -TODAY_NS])
def test_a_stamp_comes_back_to_the_nanosecond(stamp_ns: int) -> None:
    whole, rest_ns = split_ns(stamp_ns)
    assert 0 <= rest_ns < 1_000_000_000
    assert nanoseconds(SimpleNamespace(sec=whole, nanosec=rest_ns)) == stamp_ns


def test_fields_of_numpy_give_a_python_integer() -> None:
    # In int32 arithmetic this product would overflow.
    found = nanoseconds(SimpleNamespace(sec=np.int32(1_764_435_397), nanosec=np.uint32(123_456_789)))
    assert (found, type(found)) == (TODAY_NS, int)


def test_a_duration_in_seconds() -> None:
    assert duration_s(SimpleNamespace(sec=2, nanosec=500_000_000)) == 2.5
    assert duration_s(SimpleNamespace(sec=-1, nanosec=0)) == -1.0


def test_acquisition_is_the_headers_stamp_or_foxgloves_timestamp() -> None:
    header = message_class("std_msgs/msg/Header")(time(TODAY_NS), "scene")
    with_header = SimpleNamespace(header=header, timestamp=time(5))
    assert header_stamp_ns(with_header) == acquisition_ns(with_header) == TODAY_NS
    assert acquisition_ns(SimpleNamespace(timestamp=time(TODAY_NS))) == TODAY_NS


@pytest.mark.parametrize("stamp_ns", [TODAY_NS, -1])
def test_the_leading_stamp_is_read_without_decoding_the_message(stamp_ns: int) -> None:
    data = serialize(message_class("std_msgs/msg/Header")(time(stamp_ns), "scene"), "std_msgs/msg/Header")
    assert leading_stamp_ns(data) == leading_stamp_ns(memoryview(data)) == stamp_ns


def test_bytes_that_are_not_little_endian_cdr_have_no_leading_stamp() -> None:
    data = serialize(message_class("std_msgs/msg/Header")(time(TODAY_NS), ""), "std_msgs/msg/Header")
    assert leading_stamp_ns(b"\0\0\0\0" + data[4:]) is None  # big-endian
    assert leading_stamp_ns(data[:11]) is None
    assert leading_stamp_ns(data[:12]) == TODAY_NS

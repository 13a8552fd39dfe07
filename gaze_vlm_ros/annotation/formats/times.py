"""Times in annotation files, converted to ROS time."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError

# frame: number of a frame. clock: [H:]MM:SS[.fff] of the video. datetime: ISO 8601, UTC unless it names a zone.
UNITS = ("s", "ms", "us", "ns", "frame", "clock", "datetime")
_NS = {"s": Decimal(10**9), "ms": Decimal(10**6), "us": Decimal(1000), "ns": Decimal(1)}
# Larger numbers of seconds count from 1970, not from the video's first frame: no video lasts three years.
SINCE_EPOCH_S = 10**8
_CLOCK = re.compile(r"(?:(\d{1,9}):)?(\d{1,2}):(\d{1,2}(?:[.,]\d+)?)")
_LONGEST_DIGITS = 25  # before or after the decimal point; ns of three centuries have 19
_SHOWN = 120  # characters of a value in a message
_DATE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class BadTime(GazeVlmError):
    """The text is not a time of the expected unit."""


@dataclass(frozen=True)
class VideoTimes:
    """Converts times of a video to ROS time. The video starts at the bag's first frame."""

    frames_ns: NDArray[np.int64]  # (N,) stamps of the bag's frames, ascending
    frame_rate_hz: float = 0.0  # of the video whose frames are numbered; 0 = the bag's own frames
    first_frame_number: int = 0  # some programs count from 1
    offset_ns: int = 0  # added to every time

    def of_media(self, ns: int, text: str = "") -> int:
        """Return the ROS time `ns` after the start of the video. text: for the error. Raises BadTime."""
        return in_range(int(self.frames_ns[0]) + ns + self.offset_ns, text)

    def of_text(self, text: str, unit: str, decimal_comma: bool = False) -> int:
        """Return the ROS time of a text. unit: one of UNITS. decimal_comma: "1,5" is 1.5. Raises BadTime."""
        if unit == "datetime":
            return self._of_date(text)
        if unit == "clock":
            match = _CLOCK.fullmatch(text)
            if match is None:
                raise BadTime(f"{shortened(text)!r}, expected [H:]MM:SS[.fff]")
            seconds = Decimal(match[3].replace(",", "."))
            return self.of_media(round((int(match[1] or 0) * 3600 + int(match[2]) * 60 + seconds) * 10**9), text)
        try:
            number = Decimal(text.replace(",", ".") if decimal_comma else text)
        except InvalidOperation:
            number = Decimal("nan")
        if not number.is_finite() or abs(number.adjusted()) > _LONGEST_DIGITS:
            raise BadTime(f"{shortened(text)!r}, expected a number ({unit}), before the year 2262")
        if unit == "frame":
            return self._of_frame(number)
        ns = round(number * _NS[unit])
        return in_range(ns + self.offset_ns, text) if ns > SINCE_EPOCH_S * 10**9 else self.of_media(ns, text)

    def _of_date(self, text: str) -> int:
        try:
            moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError:
            raise BadTime(
                f"{shortened(text)!r}, expected a date and time such as 2026-09-21T14:13:20.5+00:00"
            ) from None
        since = (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)) - _EPOCH
        return in_range((since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000 + self.offset_ns)

    def _of_frame(self, number: Decimal) -> int:
        if number != int(number):
            raise BadTime(f"{number}, expected the whole number of a frame")
        index = int(number) - self.first_frame_number
        if self.frame_rate_hz:
            return self.of_media(round(index * 1e9 / self.frame_rate_hz))
        # Beyond either end, continue at the usual interval: labels there are then counted as outside the video.
        last = len(self.frames_ns) - 1
        inside = min(max(index, 0), last)
        usual_ns = int(np.median(np.diff(self.frames_ns))) if last else 0
        return in_range(int(self.frames_ns[inside]) + (index - inside) * usual_ns + self.offset_ns)


def in_range(time_ns: int, text: str = "") -> int:
    """Return the time. text: what it was made of. Raises BadTime where 64 bits of ns cannot hold it."""
    if abs(time_ns) >= 2**63 - 10**9:
        given = shortened(repr(text) if text else f"{time_ns} ns")
        raise BadTime(f"{given}, which is before the year 1678 or after the year 2262")
    return time_ns


def shortened(text: str) -> str:
    """Return a value for a message: not longer than a line."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def unit_of_values(values: Iterable[str]) -> str:
    """Return the unit that the first of the values looks like: datetime, clock, or else s."""
    first = next((value for value in values if value), "")
    if _DATE.match(first):
        return "datetime"
    return "clock" if _CLOCK.fullmatch(first) else "s"

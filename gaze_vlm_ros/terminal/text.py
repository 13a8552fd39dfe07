"""Values as text for a person at a terminal."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def instant_text(time_ns: int) -> str:
    """Return UTC and local time to the millisecond, or the plain number if it is outside the calendar."""
    try:
        utc = _EPOCH + timedelta(microseconds=time_ns // 1000)
        local = utc.astimezone()
    except (OverflowError, ValueError, OSError):
        return f"{time_ns} ns"
    return f"{utc:%Y-%m-%d %H:%M:%S}.{utc.microsecond // 1000:03d} UTC ({local:%Y-%m-%d %H:%M:%S %Z})"


def printable(text: str) -> str:
    """Return the text with each control or other unprintable character replaced by U+FFFD."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)

"""Values as text for a person at a terminal."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timedelta, timezone

# Controls, formats such as the reversal of writing, halves of surrogate pairs, and separators of lines.
_UNSAFE = ("Cc", "Cf", "Cs", "Zl", "Zp")
_KEPT = "\n\t\u200c\u200d"  # the last two join letters and emoji
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def instant_text(time_ns: int) -> str:
    """Return UTC and local time to the millisecond, or the plain number if it is outside the calendar."""
    try:
        utc = _EPOCH + timedelta(microseconds=time_ns // 1000)
        local = utc.astimezone()
    except (OverflowError, ValueError, OSError):
        return f"{time_ns} ns"
    return f"{utc:%Y-%m-%d %H:%M:%S}.{utc.microsecond // 1000:03d} UTC ({local:%Y-%m-%d %H:%M:%S %Z})"


def escaped(text: str) -> str:
    r"""Return the text with characters that could steer a terminal written as \x1b or \u202e; line breaks stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        if character in _KEPT or unicodedata.category(character) not in _UNSAFE
        else character.encode("ascii", "backslashreplace").decode()
        if not character.isascii()
        else f"\\x{ord(character):02x}"
        for character in text
    )


def escaped_write(text: str) -> str:
    r"""Return what one call of a stream's `write` may print: `escaped`, but for what progress bars need.

    They begin or end with \r, and go up by lines of nothing else.
    """
    if re.fullmatch(r"(\x1b\[A)+", text):
        return text
    inner = text.strip("\r")
    start = text.index(inner) if inner else len(text)
    return text[:start] + escaped(inner) + text[start + len(inner) :]


def printable(text: str) -> str:
    """Return the text with each control or other unprintable character replaced by U+FFFD."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)

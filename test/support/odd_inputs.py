"""Odd inputs made of good ones by a seed: numbers that no program writes, bytes lost, doubled or changed."""

from __future__ import annotations

import math
import random
import re
import resource
import struct
from collections import Counter
from collections.abc import Callable

from gaze_vlm_ros.errors import GazeVlmError

_NUMBER = re.compile(rb"\d+(?:[.,]\d+)?")
NUMBERS = (
    b"", b"-1", b"0", b"nan", b"inf", b"-inf", b"1e999999999", b"-1e999999999", b"1e-999999999", b"9223372036854775807",
    b"9223372036854775808", b"-9223372036854775809", b"18446744073709551616", b"1e30", b"1e300", b"9" * 5000, b"0x10",
    b"1_000", "\u0661\u0662".encode(), b"\xff", b"1.7976931348623157e308", b"00:00:99", b"99999999999:00:00", b"1,5",
)  # fmt: skip
WORDS = (
    b"\0", b"\r", b"\n", b'"', b",", b";", b"\t", b"<", b"&", b"&#x0;", b"\\ud800", b"\xed\xa0\x80", b"\xff\xfe",
    b"[" * 3000, b"{" * 3000, b"(" * 3000,
    b"*", b"&a ", b"-->", b"\xe2\x80\xa8", b" ", b"x" * 200_000, b"\xf0\x9f\x98\x80", b"%",
)  # fmt: skip


def odd(data: bytes, drawn: random.Random) -> bytes:
    """The data with one to three changes."""
    for _ in range(drawn.choice((1, 1, 2))):
        kind = drawn.choice((0, 0, 0, 0, 1, 2, 3, 4, 5))
        at, stop = sorted(drawn.randrange(len(data) + 1) for _ in range(2))
        numbers = list(_NUMBER.finditer(data))
        if kind == 0 and numbers:
            found = drawn.choice(numbers)
            data = data[: found.start()] + drawn.choice(NUMBERS) + data[found.end() :]
        elif kind == 1:
            data = data[:at] + drawn.choice(WORDS) + data[at:]
        elif kind == 2:
            data = data[:at] + data[min(stop, at + drawn.choice((1, 4, 40, 4000))) :]
        elif kind == 3:
            data = data[:at] + data[at : at + 60] * drawn.choice((2, 50)) + data[at:]
        elif kind == 4:
            data = data[:at]
        elif data:
            place = drawn.randrange(len(data))
            data = data[:place] + bytes([drawn.randrange(256)]) + data[place + 1 :]
    return data


_SIZES = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x10000, 0x01000000)
_DOUBLES = (math.nan, math.inf, -math.inf, -1.0, 1e308, -1e308, 5e-324)


def odd_message(data: bytes, drawn: random.Random) -> bytes:
    """A serialized (CDR) message with one to three changes: sizes, numbers, bytes, or its end. Never empty."""
    changed = bytearray(data)
    for _ in range(drawn.choice((1, 1, 2, 3))):
        kind = drawn.randrange(6)
        at = drawn.randrange(len(changed)) // 4 * 4
        if kind == 0:
            changed[at : at + 4] = struct.pack("<I", drawn.choice(_SIZES))
        elif kind == 1:
            changed[at : at + 8] = struct.pack("<d", drawn.choice(_DOUBLES))
        elif kind == 2:
            changed[at : at + 4] = struct.pack("<f", drawn.choice(_DOUBLES[:4]))
        elif kind == 3:
            changed[drawn.randrange(len(changed))] = drawn.randrange(256)
        elif kind == 4:
            del changed[max(1, at) :]
        else:
            changed[at:at] = drawn.randbytes(drawn.choice((1, 3, 4, 8)))
    return bytes(changed)


class Tally:
    """Counts how inputs end. An error that is no GazeVlmError is a defect, and kept."""

    def __init__(self) -> None:
        self.ends: Counter[str] = Counter()
        self.defects: list[str] = []
        self._begun_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def take(self, name: str, call: Callable[[], object]) -> object:
        """Return what `call` returns, None after an error."""
        try:
            result = call()
        except GazeVlmError:
            self.ends["refused"] += 1
            return None
        except Exception as error:
            self.defects.append(f"{name}: {type(error).__name__}: {str(error)[:300]}")
            return None
        self.ends["read"] += 1
        return result

    def check(self, tried: int, growth_mb: float) -> None:
        """Fail on any defect, or memory that grew by more; print what was tried."""
        grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - self._begun_kb) / 1024
        print(f"{tried} inputs: {dict(self.ends)}, {len(self.defects)} tracebacks, {grown_mb:.0f} MB more")
        assert not self.defects, f"{len(self.defects)} of {tried}: " + "\n".join(self.defects[:12])
        assert sum(self.ends.values()) >= tried
        assert grown_mb < growth_mb

"""Ctrl-C and SIGTERM during a fit."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

_REPEATED_S = 1.0  # a second signal within this time is the launcher's copy of the first


def note_signals() -> Callable[[], bool]:
    """From now on only note SIGINT and SIGTERM, so that no step ends half done. Return whether one was noted.

    A second signal, more than a second later, raises KeyboardInterrupt at once.
    """
    noted: list[float] = []

    def note(number: int, _frame: object) -> None:
        if noted and time.monotonic() - noted[0] > _REPEATED_S:
            raise KeyboardInterrupt
        noted.append(time.monotonic())

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
    return lambda: bool(noted)

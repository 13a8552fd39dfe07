"""Prints from a thread of its own: a terminal that was held (Ctrl-S), or a pipe that nobody reads, holds up nothing."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from typing import TextIO

WAITING = 200  # lines; what is drawn anew each second is left out long before


class Screen:
    """Lines come out in the order in which they were given."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[tuple[int, bytes] | None] = queue.Queue(WAITING)
        # A daemon: where the terminal never goes on, the program must still be able to end.
        self._thread = threading.Thread(target=self._run, name="screen", daemon=True)
        self._thread.start()

    def show(self, text: str, stream: TextIO | None = None, passing: bool = False) -> bool:
        """Print a line, or several; whether it will come out.

        passing: it may be left out while what came before is not on the screen yet.
        """
        if passing and not self._waiting.empty():
            return False
        try:
            self._waiting.put_nowait(((stream or sys.stdout).fileno(), f"{text}\n".encode()))
        except queue.Full:  # long held: nobody looks
            return False
        return True

    def close(self, patience_s: float = 2.0) -> None:
        """Let what waits come out, as far as the terminal takes it in so many seconds."""
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)
        self._thread.join(patience_s)

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            file, data = item
            with contextlib.suppress(OSError):  # closed at the other end
                # Not through sys.stdout: its lock would be held while the terminal is.
                while data:
                    data = data[os.write(file, data) :]

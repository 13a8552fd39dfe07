"""Prints from a thread of its own: a terminal on hold (Ctrl-S), or a pipe that nobody reads, never blocks a node."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from typing import TextIO

from gaze_vlm_ros.terminal.text import escaped

QUEUED_LINES = 200  # beyond it lines are dropped; lines that may be skipped are skipped long before


class Screen:
    """Prints lines in the order in which they were given, and redraws a table in place."""

    def __init__(self) -> None:
        self._queue: queue.Queue[tuple[int, bytes] | None] = queue.Queue(QUEUED_LINES)
        self._drawn_lines = 0  # of the table that is redrawn; 0 = something else was printed below it
        # A daemon: where the terminal stays on hold, the program must still be able to end.
        self._thread = threading.Thread(target=self._run, name="screen", daemon=True)
        self._thread.start()

    def show(self, text: str, stream: TextIO | None = None, passing: bool = False) -> bool:
        """Print one or more lines, control characters escaped; return whether they will come out.

        stream: stdout by default. passing: skip the text while earlier text is still queued.
        """
        self._drawn_lines = 0
        return self._put(escaped(text), stream or sys.stdout, passing)

    def redraw(self, table: str) -> bool:
        """Print a table on stdout, a terminal, over the last one; skip it while earlier text is still queued."""
        # Move the cursor up to the last table's first line, and clear from there.
        up = f"\033[{self._drawn_lines}A\033[J" if self._drawn_lines else ""
        if not self._put(up + escaped(table), sys.stdout, passing=True):
            return False
        self._drawn_lines = table.count("\n") + 1
        return True

    def close(self, patience_s: float = 2.0) -> None:
        """Let queued lines come out, as far as the terminal takes them within `patience_s`."""
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)
        self._thread.join(patience_s)

    def _put(self, text: str, stream: TextIO, passing: bool) -> bool:
        if passing and not self._queue.empty():
            return False
        try:
            self._queue.put_nowait((stream.fileno(), f"{text}\n".encode()))
        except queue.Full:  # on hold for long: nobody looks
            return False
        return True

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            file, data = item
            with contextlib.suppress(OSError):  # closed at the other end
                # Not through sys.stdout: its lock would be held while the terminal is on hold.
                while data:
                    data = data[os.write(file, data) :]

"""Progress of a step: one line that is rewritten on a terminal, or a new line now and then in a log."""

from __future__ import annotations

import shutil
import sys
import time

_QUIET_S = 15.0  # between lines in a log, so that it shows progress and stays short


class StatusLine:
    """Prints the name of a step and, below it, what it is doing now."""

    def __init__(self, step: str) -> None:
        self._step = step
        self._terminal = sys.stdout.isatty()
        self._started = self._shown = time.monotonic()
        print(f"\n=== {step}", flush=True)

    def show(self, text: str) -> None:
        """Replace the text below the step; in a log, print it if the last line is old enough."""
        now = time.monotonic()
        line = f"    {now - self._started:4.0f} s  {text}"
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r{line[:width]:<{width}}", end="", flush=True)
        elif now - self._shown >= _QUIET_S:
            print(line, flush=True)
            self._shown = now

    def done(self, text: str) -> None:
        """End the step: replace the progress by a result that stays."""
        if self._terminal:
            print("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r", end="")
        print(f"    {time.monotonic() - self._started:4.0f} s  {text}", flush=True)

"""Prints from a thread of its own: a terminal on hold (Ctrl-S), or a pipe that nobody reads, never blocks a node.

News also goes to /rosout and into the node's ROS log file; what is shown in passing, and tables, do not.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from typing import TYPE_CHECKING, TextIO

from gaze_vlm_ros.nodes.ros_log import RosLog, file_line, open_log_file
from gaze_vlm_ros.terminal.text import escaped

if TYPE_CHECKING:
    from rclpy.node import Node

QUEUED_LINES = 200  # beyond it lines are dropped; lines that may be skipped are skipped long before


class Screen:
    """Prints lines in the order in which they were given, and redraws a table in place."""

    def __init__(self, node: Node | None = None) -> None:
        """node: whose news it is; None = print only."""
        self._log: RosLog | None = None
        self._log_file: int | None = None
        if node is not None:
            self._log, self._log_file = RosLog(node), open_log_file()
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
        if not passing:
            self.log(text)
        return self._put(escaped(text), (stream or sys.stdout).fileno(), passing)

    def log(self, text: str) -> None:
        """Send a line to /rosout and into the log file, and not to the screen."""
        if self._log is not None:
            self._log.publish(escaped(text))
            if self._log_file is not None:
                self._put(file_line(self._log.name, escaped(text)), self._log_file, passing=False)

    def redraw(self, table: str) -> bool:
        """Print a table on stdout, a terminal, over the last one; skip it while earlier text is still queued."""
        # Move the cursor up to the last table's first line, and clear from there.
        up = f"\033[{self._drawn_lines}A\033[J" if self._drawn_lines else ""
        if not self._put(up + escaped(table), sys.stdout.fileno(), passing=True):
            return False
        self._drawn_lines = table.count("\n") + 1
        return True

    def close(self, patience_s: float = 2.0) -> None:
        """Let queued lines come out, as far as the terminal takes them within `patience_s`."""
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)
        if self._log is not None:
            self._log.deliver()
        self._thread.join(patience_s)

    def _put(self, text: str, file: int, passing: bool) -> bool:
        if passing and not self._queue.empty():
            return False
        try:
            self._queue.put_nowait((file, f"{text}\n".encode()))
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

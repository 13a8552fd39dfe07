"""News of a node for /rosout and its ROS log file, where its lines on the screen do not go.

rclpy's own logger writes to the terminal too, and waits where that is on hold (Ctrl-S): the node would stand still.
"""

from __future__ import annotations

import contextlib
import os
import re
import time

from rcl_interfaces.msg import Log
from rclpy.duration import Duration
from rclpy.logging import get_logging_directory
from rclpy.node import Node

from gaze_vlm_ros.nodes.qos import rosout_qos
from gaze_vlm_ros.terminal.text import escaped

LEVELS = {"warning": (Log.WARN, "WARN"), "error": (Log.ERROR, "ERROR")}
DELIVERY_S = 0.5  # for the last line to reach who listens to /rosout


class RosLog:
    """Publishes lines on /rosout."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.name = node.get_logger().name
        self._publisher = node.create_publisher(Log, "/rosout", rosout_qos())

    def publish(self, line: str) -> None:
        """Publish a line such as "recorder: warning: text"; nothing once the context is shut down."""
        (level, _), text = _parts(line)
        with contextlib.suppress(Exception):  # a signal may shut the context down at any moment
            stamp = self._node.get_clock().now().to_msg()
            self._publisher.publish(Log(stamp=stamp, level=level, name=self.name, msg=text))

    def deliver(self) -> None:
        """Give the last lines the time to arrive."""
        with contextlib.suppress(Exception):
            if self._node.context.ok():
                self._publisher.wait_for_all_acked(Duration(seconds=DELIVERY_S))


def open_log_file() -> int | None:
    """Return a descriptor that appends to the file that rcl made for this process; None where there is none."""
    with contextlib.suppress(OSError):
        files = get_logging_directory().glob(f"*_{os.getpid()}_*.log")
        if newest := max(files, key=lambda path: path.stat().st_mtime, default=None):
            return os.open(newest, os.O_WRONLY | os.O_APPEND)
    return None


def file_line(name: str, line: str) -> str:
    """Return a line as rcl writes it into a log file. name: of the logger."""
    (_, level), text = _parts(line)
    return f"[{level}] [{time.time():.9f}] [{name}]: {text}"


def log_to_file(name: str, line: str) -> None:
    """Append a line to the log file, for a node that could not be made."""
    with contextlib.suppress(OSError):
        if (file := open_log_file()) is not None:
            os.write(file, f"{file_line(name, escaped(line))}\n".encode())
            os.close(file)


def _parts(line: str) -> tuple[tuple[bytes | int, str], str]:
    match = re.match(r"\w+: (warning|error): ", line)
    return (LEVELS[match[1]], line[match.end() :]) if match else ((Log.INFO, "INFO"), line)

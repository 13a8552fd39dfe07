"""The installed programs: each loads its module and calls its `main`.

Loading takes a second or more. A request to end that comes meanwhile ends the program at once, without a traceback:
nothing is open yet.
"""

from __future__ import annotations

import os
import signal
from importlib import import_module


def start(module: str, code: int) -> int:
    """Load the module and return the exit code of its `main`; exit with `code` on SIGINT or SIGTERM before that."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(code))
    main = import_module(module).main
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return int(main() or 0)


def gaze_vlm() -> int:
    """Start the command `gaze-vlm`."""
    return start("gaze_vlm_ros.cli", 130)


# A node that is asked to end exits with 0.


def eye_tracker() -> int:
    """Start the node of this name."""
    return start("gaze_vlm_ros.nodes.eye_tracker", 0)


def gaze_monitor() -> int:
    """Start the node of this name."""
    return start("gaze_vlm_ros.nodes.gaze_monitor", 0)


def overlay() -> int:
    """Start the node of this name."""
    return start("gaze_vlm_ros.nodes.overlay", 0)


def predicates() -> int:
    """Start the node of this name."""
    return start("gaze_vlm_ros.nodes.predicates", 0)


def predictor() -> int:
    """Start the node of this name."""
    return start("gaze_vlm_ros.nodes.predictor", 0)


def recorder() -> int:
    """Start the node of this name."""
    return start("gaze_vlm_ros.nodes.recorder", 0)


def simulator() -> int:
    """Start the node of this name."""
    return start("gaze_vlm_ros.nodes.simulator", 0)

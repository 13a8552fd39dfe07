"""Start Rerun's viewer so that it listens to this machine only: its own `spawn` listens on all interfaces."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from gaze_vlm_ros.errors import GazeVlmError

LOOPBACK = "127.0.0.1"
READY_S = 30.0  # for the viewer to listen
_POLL_S = 0.05


class NoViewer(GazeVlmError):
    """Rerun's viewer is missing or does not start."""


def start_viewer() -> str:
    """Start a viewer that outlives this process, and return the address to log to. Raises NoViewer.

    It is looked for on PATH and in this environment, which may not be active.
    """
    places = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    program = shutil.which("rerun", path=places)
    if program is None:
        raise NoViewer("Rerun's viewer is not on PATH; pip install rerun-sdk, or use --save FILE.rrd")
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryFile() as said:  # no pipe: the viewer writes on when this process has ended
        viewer = subprocess.Popen(
            [program, "--bind", LOOPBACK, "--port", str(port), "--expect-data-soon"],
            env={**os.environ, "RERUN_APP_ONLY": "true"},  # as its own spawn does: no command line tools, no questions
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True,
        )  # fmt: skip
        deadline_s = time.monotonic() + READY_S
        while not _listens(port):
            if viewer.poll() is not None:
                said.seek(0)
                lines = said.read().decode(errors="replace").strip().splitlines() or ["no reason given"]
                raise NoViewer(f"Rerun's viewer failed: {lines[-1]}; use --save FILE.rrd")
            if time.monotonic() > deadline_s:
                viewer.kill()
                raise NoViewer(f"Rerun's viewer does not listen after {READY_S:g} s; use --save FILE.rrd")
            time.sleep(_POLL_S)
    return f"rerun+http://{LOOPBACK}:{port}/proxy"


def _listens(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1.0):
            return True
    except OSError:
        return False

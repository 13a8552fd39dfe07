"""Child processes: this package's nodes, modules and training scripts, each with its own log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.nodes.dds_transport import unused_domain, use_tested_transport
from gaze_vlm_ros.storage.package_files import shared_file


class StepFailed(GazeVlmError):
    """A child process ended with an error or too early, or did not end in time."""


def private_ros_environment(threads: int = 1) -> dict[str, str]:
    """Environment for nodes that communicate with each other and with no other node on this machine.

    threads: compute threads of each process; one by default, because several processes run at once.
    """
    environment = dict(os.environ)
    use_tested_transport(environment)
    environment["ROS_DOMAIN_ID"] = str(unused_domain())
    environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    environment["OMP_NUM_THREADS"] = str(threads)
    environment["PYTHONUNBUFFERED"] = "1"  # logs are read while they grow
    return environment


class Child:
    """A child process whose output goes to `log`. It is stopped by SIGINT, or by SIGKILL where that has no effect."""

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=dict(environment)
            )

    def running(self) -> bool:
        """Whether the process has not ended yet."""
        return self._process.poll() is None

    def last_line(self) -> str:
        """Last line of the output; if a progress bar rewrites a line, its newest state."""
        lines = self.log.read_text(errors="replace").replace("\r", "\n").strip().splitlines()
        return lines[-1] if lines else "(no output)"

    def stop(self, timeout_s: float = 60.0) -> int:
        """Stop the process as Ctrl-C would, and return its exit code. Raises StepFailed if it had to be killed.

        timeout_s: long by default: a node that is killed leaves its locks in shared memory.
        """
        if self.running():
            self._process.send_signal(signal.SIGINT)
        return self.wait(timeout_s)

    def stop_cleanly(self) -> None:
        """Stop the process as Ctrl-C would. Raises StepFailed unless it exits with 0."""
        if (code := self.stop()) != 0:
            raise StepFailed(f"{self.name} failed (exit code {code}): {self.last_line()}; see {self.log}")

    def wait(self, timeout_s: float) -> int:
        """Wait for the process to end and return its exit code. After `timeout_s`, kill it and raise StepFailed."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise StepFailed(
                f"{self.name} did not end within {timeout_s:.0f} s; its last line: {self.last_line()}; see {self.log}"
            ) from None

    def kill(self) -> None:
        """Kill the process if it is running."""
        if self.running():
            self._process.kill()
        self._process.wait()

    def must_succeed(self, timeout_s: float) -> None:
        """Wait for the process to end. Raises StepFailed with its last line unless it exits with 0."""
        code = self.wait(timeout_s)
        if code != 0:
            raise StepFailed(f"{self.name} failed (exit code {code}): {self.last_line()}; see {self.log}")


def node_command(module: str, parameters: Mapping[str, Any], parameter_file: Path) -> list[str]:
    """Write parameters to `parameter_file` and return the command line of a node of this package."""
    parameter_file.write_text(yaml.safe_dump({"/**": {"ros__parameters": dict(parameters)}}))
    return [sys.executable, "-m", f"gaze_vlm_ros.nodes.{module}", "--ros-args", "--params-file", str(parameter_file)]


def python_command(module: str, *arguments: object) -> list[str]:
    """Command line of a module of this package."""
    return [sys.executable, "-m", module, *map(str, arguments)]


def training_command(script: str, *arguments: object) -> list[str]:
    """Command line of a script in training/, e.g. "fit.py"."""
    return [sys.executable, str(shared_file(f"training/{script}")), *map(str, arguments)]


@contextmanager
def started(*children: Child) -> Iterator[None]:
    """Kill those of `children` that still run when the block ends, however it ends."""
    try:
        yield
    finally:
        for child in children:
            child.kill()


def require_running(*children: Child) -> None:
    """Raise StepFailed if one of `children` has ended."""
    for child in children:
        if not child.running():
            raise StepFailed(f"{child.name} ended too early: {child.last_line()}; see {child.log}")


def wait_for_line(child: Child, text: str, timeout_s: float) -> None:
    """Wait until the child's output contains `text`. Raises StepFailed if it ends, or `timeout_s` passes, before."""
    deadline = time.monotonic() + timeout_s
    while text not in child.log.read_text(errors="replace"):
        require_running(child)
        if time.monotonic() > deadline:
            raise StepFailed(
                f"{child.name} was not ready within {timeout_s:.0f} s: {child.last_line()}; see {child.log}"
            )
        time.sleep(0.05)

"""The demo's child processes: this package's nodes and training scripts, each with a log of its own."""

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
    """A child process of the demo ended with an error, or did not end in time."""


def private_ros_environment(threads: int = 1) -> dict[str, str]:
    """Environment of nodes that talk to each other and to nobody else on this machine.

    threads: compute threads of each process; several run at once, so one each by default.
    """
    environment = dict(os.environ)
    use_tested_transport(environment)
    environment["ROS_DOMAIN_ID"] = str(unused_domain())
    environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    environment["OMP_NUM_THREADS"] = str(threads)
    environment["PYTHONUNBUFFERED"] = "1"  # logs are read while they grow
    return environment


class Child:
    """A child process whose output goes to `log`. SIGINT stops it, SIGKILL where that does not help."""

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=dict(environment)
            )

    def running(self) -> bool:
        return self._process.poll() is None

    def last_line(self) -> str:
        """Last line of its output; where a progress bar rewrites one line, its newest state."""
        lines = self.log.read_text(errors="replace").replace("\r", "\n").strip().splitlines()
        return lines[-1] if lines else "(no output)"

    def stop(self, timeout_s: float = 15.0) -> int:
        """Ask it to stop as Ctrl-C would, and return its exit code. Raises StepFailed if it must be killed."""
        if self.running():
            self._process.send_signal(signal.SIGINT)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float) -> int:
        """Exit code, once it has ended by itself. Kills it and raises StepFailed after `timeout_s`."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise StepFailed(
                f"{self.name} did not end within {timeout_s:.0f} s; its last line: {self.last_line()}; see {self.log}"
            ) from None

    def kill(self) -> None:
        if self.running():
            self._process.kill()
        self._process.wait()

    def must_succeed(self, timeout_s: float) -> None:
        """Wait for its end. Raises StepFailed with its last line unless it exits with 0."""
        code = self.wait(timeout_s)
        if code != 0:
            raise StepFailed(f"{self.name} failed (exit code {code}): {self.last_line()}; see {self.log}")


def node_command(module: str, parameters: Mapping[str, Any], parameter_file: Path) -> list[str]:
    """Command line of one of our nodes, its parameters written to `parameter_file`."""
    parameter_file.write_text(yaml.safe_dump({"/**": {"ros__parameters": dict(parameters)}}))
    return [sys.executable, "-m", f"gaze_vlm_ros.nodes.{module}", "--ros-args", "--params-file", str(parameter_file)]


def python_command(module: str, *arguments: object) -> list[str]:
    """Command line of a module of this package."""
    return [sys.executable, "-m", module, *map(str, arguments)]


def training_command(script: str, *arguments: object) -> list[str]:
    """Command line of one of training/'s scripts, e.g. "fit.py"."""
    return [sys.executable, str(shared_file(f"training/{script}")), *map(str, arguments)]


@contextmanager
def started(*children: Child) -> Iterator[None]:
    """Kill whatever of `children` still runs when the block ends, however it ends."""
    try:
        yield
    finally:
        for child in children:
            child.kill()


def wait_for_line(child: Child, text: str, timeout_s: float) -> None:
    """Return once `text` stands in the child's output. Raises StepFailed if it ends, or `timeout_s` passes, before."""
    deadline = time.monotonic() + timeout_s
    while text not in child.log.read_text(errors="replace"):
        if not child.running():
            raise StepFailed(f"{child.name} ended too early: {child.last_line()}; see {child.log}")
        if time.monotonic() > deadline:
            raise StepFailed(
                f"{child.name} was not ready within {timeout_s:.0f} s: {child.last_line()}; see {child.log}"
            )
        time.sleep(0.05)

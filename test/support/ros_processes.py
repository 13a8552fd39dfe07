"""Nodes of this package as processes of their own, on a DDS domain of their own."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from gaze_vlm_ros.nodes.dds_transport import (
    FIRST_PORT,
    PORTS_PER_DOMAIN,
    SHARED_MEMORY,
    unused_domain,
    use_tested_transport,
)


def isolated_environment() -> dict[str, str]:
    environment = dict(os.environ)
    use_tested_transport(environment)
    environment["ROS_DOMAIN_ID"] = str(unused_domain())
    environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    environment["OMP_NUM_THREADS"] = "1"
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


def shared_environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An isolated environment that this process takes part in: nodes made here meet those of other processes."""
    environment = isolated_environment()
    for name, value in environment.items():
        if name.startswith(("FASTDDS", "FASTRTPS", "ROS_", "AMENT")):
            monkeypatch.setenv(name, value)
    return environment


def start_node(
    module: str, parameters: Mapping[str, Any], environment: Mapping[str, str], folder: Path, full_disk: bool = False
) -> subprocess.Popen[str]:
    """One of gaze_vlm_ros.nodes, its output piped; a recorder waits long, for sources that start slowly."""
    if module == "recorder":
        parameters = {"wait_s": 200.0} | dict(parameters)
    parameter_file = folder / f"{module}_{random.SystemRandom().randint(0, 1 << 30)}.yaml"
    parameter_file.write_text(yaml.safe_dump({"/**": {"ros__parameters": dict(parameters)}}))
    command = [sys.executable, "-m", f"gaze_vlm_ros.nodes.{module}", "--ros-args", "--params-file", str(parameter_file)]
    return start(command, environment, full_disk)


def start(command: list[str], environment: Mapping[str, str], full_disk: bool = False) -> subprocess.Popen[str]:
    """full_disk: what it prints goes to a file that takes nothing; `finish` then gives what it says on stderr."""
    pipe, environment = subprocess.PIPE, dict(environment)
    if full_disk:
        with open("/dev/full", "w") as full:
            return subprocess.Popen(command, env=environment, stdout=full, stderr=pipe, text=True)
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True)


def stop(process: subprocess.Popen[str]) -> None:
    """End it as Ctrl-C would: a killed one leaves locks of its domain in shared memory."""
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=200)
    finally:
        process.kill()
        process.wait()


def remove_leftovers(environment: Mapping[str, str]) -> None:
    """What killed processes of a test's own domain left in shared memory."""
    first = FIRST_PORT + PORTS_PER_DOMAIN * int(environment["ROS_DOMAIN_ID"])
    for path in SHARED_MEMORY.glob("*fast*_port*"):
        match = re.search(r"port(\d+)", path.name)
        if match and first <= int(match[1]) < first + PORTS_PER_DOMAIN:
            path.unlink(missing_ok=True)


def wait_for_bytes(file: Path, size: int) -> None:
    """Until a file has grown to `size` bytes."""
    deadline_s = time.monotonic() + 200
    while not (file.exists() and file.stat().st_size > size):
        assert time.monotonic() < deadline_s, f"{file.name} has not grown to {size} bytes in 200 s"
        time.sleep(0.05)


def finish(process: subprocess.Popen[str], timeout_s: float = 200.0) -> tuple[int, str]:
    """Exit code and output, once it has ended; killed if it does not."""
    try:
        output, errors = process.communicate(timeout=timeout_s)
    finally:
        process.kill()
        process.wait()
    return process.returncode, output or errors or ""

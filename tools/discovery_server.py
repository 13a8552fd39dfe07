"""A Fast DDS discovery server, from the wheels of ROS or from a ROS installation."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

PROGRAM = "fast-discovery-server"


class NoDiscoveryServer(Exception):
    """No such program is installed, or it does not start; the message says which."""


@contextmanager
def discovery_server(address: str, port: int, prefix: Sequence[str] = ()) -> Iterator[None]:
    """Run one on `address`, until the end. Raises NoDiscoveryServer.

    prefix: words before the command, such as those that run it on another machine.
    """
    program = shutil.which(PROGRAM, path=f"{Path(sys.prefix, 'bin')}:{os.environ.get('PATH', '')}")
    if program is None:
        raise NoDiscoveryServer(
            f"program {PROGRAM} is not installed (ros-$ROS_DISTRO-fastdds or ros-$ROS_DISTRO-fastrtps)"
        )
    # Since Fast DDS 3, the number of a command comes first; 42 runs a server in the foreground.
    number = ["42"] if int(version("rclpy").split(".")[0]) >= 9 else []
    # The wheels' libraries lie in folders of their own.
    packages = Path(sys.prefix, "lib", f"python{sys.version_info.major}.{sys.version_info.minor}", "site-packages")
    folders = [str(Path(sys.prefix, "lib")), *map(str, packages.glob("ros_*fast*.libs"))]
    environment = os.environ | {"LD_LIBRARY_PATH": ":".join([*folders, os.environ.get("LD_LIBRARY_PATH", "")])}
    environment = {name: value for name, value in environment.items() if not name.startswith(("FAST", "ROS_"))}
    command = [*prefix, program, *number, "-i", "0", "-l", address, "-p", str(port)]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert server.stdout is not None
    try:
        said = server.stdout.readline()
        if not any(word in said for word in ("started", "running")):  # Fast DDS 3, 2
            raise NoDiscoveryServer(f"{program} does not start: {said.strip() or 'it says nothing'}")
        yield
    finally:
        server.kill()
        server.communicate()

"""DDS settings that images and gaze need. Set them before the first rclpy node of a process, or for its children."""

import fcntl
import os
import random
import re
import shutil
import sys
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.storage.package_files import shared_file

SHARED_MEMORY = Path("/dev/shm")
# RTPS 9.6.1.1: the ports of domain d begin at 7400 + 250 d. Domain 0 is the default, where the user's own robot may be;
# above 101, Linux gives the ports to other programs.
FIRST_PORT, PORTS_PER_DOMAIN, DOMAINS = 7400, 250, range(1, 102)
# Fast DDS 3 reads the first and warns of the second, which is the only one that Fast DDS 2 reads.
PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
ROOMY_BYTES = 512_000_000  # of shared memory: 64 MB for each of our nodes and the robot's
RESERVED_S = 60.0  # starting a node takes 1 to 3 s, and many times that on a busy machine


class NoFreeDomain(GazeVlmError):
    """Every ROS domain of this machine is in use or has leftovers of killed nodes."""


def use_tested_transport(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set our Fast DDS profile in `environment`, unless it names transports or a profile of its own.

    Without it Fast DDS loses most images above half a megabyte, and the first second of every topic.
    Without a ROS installation, also make the message packages of the virtual environment findable.
    """
    if not any(name in environment for name in ("FASTDDS_BUILTIN_TRANSPORTS", *PROFILE_VARIABLES)):
        profile = shared_file(f"config/{profile_name(free_shared_memory_bytes())}")
        environment[PROFILE_VARIABLES[_fast_dds_version() < 3]] = str(profile)
    if Path(sys.prefix, "share", "ament_index").is_dir():
        environment.setdefault("AMENT_PREFIX_PATH", sys.prefix)


def profile_name(free_bytes: int) -> str:
    """Return the file of config/ for a machine with `free_bytes` of shared memory."""
    return "fastdds.xml" if free_bytes >= ROOMY_BYTES else "fastdds_small_memory.xml"


def free_shared_memory_bytes() -> int:
    """Free bytes in /dev/shm; 0 where there is none, as on macOS."""
    try:
        return shutil.disk_usage(SHARED_MEMORY).free
    except OSError:
        return 0


def _fast_dds_version() -> int:
    # Kilted, the first on Fast DDS 3, has rclpy 9. An import of rclpy would already read the variables.
    try:
        return 3 if int(version("rclpy").split(".")[0]) >= 9 else 2
    except PackageNotFoundError:
        return 3


def unused_domain() -> int:
    """Choose a ROS_DOMAIN_ID at random that no process of this machine uses. Raises NoFreeDomain.

    A domain with leftovers of a killed node is not chosen either: Fast DDS leaves the lock of its port in shared
    memory, and the next node of that domain may wait for it forever (`fastdds shm clean` removes such locks).
    The choice is reserved for RESERVED_S, the time the caller needs to start its nodes: two programs that choose at the
    same moment get different domains. Where all that are free are reserved, wait for the first: two programs in one
    domain would record each other's messages.
    """
    while True:
        with _reservations() as reserved:
            ports = (re.search(r"fast(?:dds|rtps)_port(\d+)", path.name) for path in SHARED_MEMORY.glob("*fast*_port*"))
            taken = {(int(match[1]) - FIRST_PORT) // PORTS_PER_DOMAIN for match in ports if match}
            free = [domain for domain in DOMAINS if domain not in taken]
            if not free:
                raise NoFreeDomain(
                    f"all ROS domains from {DOMAINS[0]} to {DOMAINS[-1]} have Fast DDS ports in {SHARED_MEMORY}; "
                    "stop the nodes that run, and remove what killed ones left with `fastdds shm clean`"
                )
            if unreserved := [domain for domain in free if domain not in reserved]:
                domain = random.SystemRandom().choice(unreserved)
                reserved[domain] = time.time()
                return domain
            wait_s = min(reserved[domain] for domain in free) + RESERVED_S - time.time()
        time.sleep(max(wait_s, 0.0) + 0.01)


@contextmanager
def _reservations() -> Iterator[dict[int, float]]:
    """Domains that were chosen within RESERVED_S, and when (Unix s); saved at the end, one process at a time."""
    path = SHARED_MEMORY / f"gaze_vlm_ros_domains_{os.getuid()}"
    try:
        file = path.open("a+")
    except OSError:  # no shared memory, as on macOS: nothing to agree by
        yield {}
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        lines = (line.split() for line in file)
        now_s = time.time()
        reserved = {int(line[0]): float(line[1]) for line in lines if len(line) == 2}
        reserved = {domain: at_s for domain, at_s in reserved.items() if abs(now_s - at_s) < RESERVED_S}
        yield reserved
        file.truncate(0)
        file.writelines(f"{domain} {at_s}\n" for domain, at_s in reserved.items())

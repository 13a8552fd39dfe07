"""Two machines on one: network namespaces joined by a cable, with a /dev/shm of their own each.

    with two_machines() as (robot, laptop):
        subprocess.run(robot.command("ping", "-c1", laptop.address))

Needs root, or a kernel that lets users make namespaces; and unshare, nsenter (util-linux) and ip (iproute2).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

ADDRESSES = ("10.77.0.1", "10.77.0.2")


class NoNamespaces(Exception):
    """This machine does not let us make namespaces; the message says why."""


class Machine(NamedTuple):
    """One of the two."""

    pid: int  # of a process that holds its namespaces
    address: str  # IPv4, on the cable

    def command(self, *words: str) -> list[str]:
        """Return the command that runs `words` on this machine, in the folder of the caller; signals reach `words`."""
        return [*_enter(self.pid), "--mount", f"--wd={os.getcwd()}", "--", *words]


@contextmanager
def two_machines(shared_memory_mb: int = 1024) -> Iterator[tuple[Machine, Machine]]:
    """Make them, and take them down at the end. Raises NoNamespaces.

    shared_memory_mb: size of each /dev/shm; a container has 64 by default.
    """
    for program in ("unshare", "nsenter", "ip"):
        if shutil.which(program) is None:
            raise NoNamespaces(f"program {program} is not installed (Debian: apt install util-linux iproute2)")
    of_user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    own_memory = f"mount -t tmpfs -o size={shared_memory_mb}m tmpfs /dev/shm && ip link set lo up"
    # The cable is made from namespaces that may reach into both.
    with _namespaces(["unshare", *of_user, "--net"], "true") as outer:
        unshare = [*_enter(outer), "--", "unshare", "--net", "--mount"]
        with _namespaces(unshare, own_memory) as first, _namespaces(unshare, own_memory) as second:
            _call([*_enter(outer), "--", "ip", "link", "add", "cable", "netns", str(first), "type", "veth",
                   "peer", "name", "cable", "netns", str(second)])  # fmt: skip
            machines = [Machine(pid, address) for pid, address in zip((first, second), ADDRESSES, strict=True)]
            for machine in machines:
                _call(machine.command("ip", "address", "add", f"{machine.address}/24", "dev", "cable"))
                _call(machine.command("ip", "link", "set", "cable", "up"))
                # As the default route of a real network: DDS finds its peers by multicast.
                _call(machine.command("ip", "route", "add", "default", "dev", "cable"))
            yield machines[0], machines[1]


def _enter(pid: int) -> list[str]:
    of_user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
    return ["nsenter", f"--target={pid}", *of_user, "--net"]


@contextmanager
def _namespaces(command: list[str], script: str) -> Iterator[int]:
    """Process id of a process that does `script` in the new namespaces that `command` makes, and holds them."""
    holder = subprocess.Popen(
        [*command, "sh", "-c", f"{script} && echo ready && exec sleep infinity"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    try:
        if (said := holder.stdout.readline().strip()) != "ready":
            raise NoNamespaces(f"cannot make namespaces: {said or 'no answer of'} {'' if said else command[0]}".strip())
        yield holder.pid
    finally:
        holder.kill()
        holder.communicate()


def _call(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoNamespaces(f"cannot join namespaces: {done.stderr.strip()}")

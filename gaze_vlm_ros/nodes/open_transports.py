"""Which DDS transports this process has really opened, read from what Linux knows of it, and what that means."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PROCESS = Path("/proc/self")
FAST_DDS = ("rmw_fastrtps_cpp", "rmw_fastrtps_dynamic_cpp")
LARGE_IMAGE_BYTES = 1_000_000  # a raw 640x480 image; Fast DDS's own segment holds half of it
LISTENS = "0A"  # state of a TCP socket in /proc/net/tcp


class Transports(NamedTuple):
    """Transports of Fast DDS that are open."""

    shared_memory_bytes: int  # of the largest segment in use; 0 = no shared memory
    udp: bool  # a unicast port: what a peer with default settings sends to
    tcp: bool


class Network(NamedTuple):
    """How a node takes part in ROS."""

    middleware: str  # as RMW_IMPLEMENTATION names it
    domain: int
    transports: Transports | None  # None = another middleware's, or no Linux
    server: str  # ROS_DISCOVERY_SERVER; empty = peers are found by multicast
    only_here: bool  # only peers on this machine are looked for
    forced: str  # FASTDDS_BUILTIN_TRANSPORTS


def open_transports(domain: int) -> Transports | None:
    """Return those of this process, in the ROS domain; None where there is no Linux to say."""
    first = 7400 + 250 * domain + 10  # RTPS 9.6.1.1; the ports before that are for multicast
    try:
        links = []
        for descriptor in os.listdir(PROCESS / "fd"):
            with suppress(OSError):  # closed meanwhile
                links.append(os.readlink(PROCESS / "fd" / descriptor))
        maps = (PROCESS / "maps").read_text()
        udp, tcp = ("".join((PROCESS / "net" / f"{kind}{v}").read_text() for v in ("", "6")) for kind in ("udp", "tcp"))
    except OSError:
        return None
    inodes = [link[len("socket:[") : -1] for link in links if link.startswith("socket:[")]
    return transports_of(maps, udp, tcp, inodes, range(first, first + 240))


def transports_of(maps: str, udp: str, tcp: str, inodes: Iterable[str], ports: range) -> Transports:
    """Take them from the text of /proc/self/maps, and of /proc/net/udp and tcp.

    inodes: of the sockets that the process has open. ports: of unicast in the ROS domain.
    """
    own = set(inodes)
    segments = re.findall(r"^(\w+)-(\w+) .*/dev/shm/fast(?:dds|rtps)_[0-9a-f]{16}$", maps, re.MULTILINE)
    largest = max((int(end, 16) - int(begin, 16) for begin, end in segments), default=0)
    udp_ports = {port for port, _ in _sockets(udp, own)}
    listens = LISTENS in (state for _, state in _sockets(tcp, own))
    return Transports(largest, not udp_ports.isdisjoint(ports), listens)


def _sockets(table: str, inodes: set[str]) -> list[tuple[int, str]]:
    """Local port and state of those of `inodes`."""
    rows = (line.split() for line in table.splitlines())
    return [(int(row[1].split(":")[1], 16), row[3]) for row in rows if len(row) > 9 and row[9] in inodes]


def network_of(middleware: str, domain: int, environment: Mapping[str, str] = os.environ) -> Network:
    """Return how this process takes part in ROS, once it has a node."""
    is_fast_dds = middleware in FAST_DDS
    only_here = (
        environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "").upper() == "LOCALHOST"
        or environment.get("ROS_LOCALHOST_ONLY") == "1"
    )
    return Network(
        middleware,
        domain,
        open_transports(domain) if is_fast_dds else None,
        environment.get("ROS_DISCOVERY_SERVER", "") if is_fast_dds else "",
        only_here,
        environment.get("FASTDDS_BUILTIN_TRANSPORTS", "") if is_fast_dds else "",
    )


def network_text(network: Network) -> str:
    """In words, for the line that a node prints when it starts."""
    parts = [f"ROS domain {network.domain}", network.middleware]
    if network.only_here:
        parts.append("peers on this machine only")
    if network.server:
        parts.append(f"discovery server {network.server}")
    if network.transports is None:
        return f"{', '.join(parts)}; transports are not known here"
    memory, udp, tcp = network.transports
    names = [f"shared memory ({memory / 1e6:.3g} MB)"] if memory else []
    names += [name for name, is_on in (("UDP", udp), ("TCP", tcp)) if is_on]
    return f"{', '.join(parts)}; transports: {', '.join(names) or 'none'}"


def network_warnings(network: Network) -> list[str]:
    """Return what peers or images will miss, each with what to do."""
    if network.transports is None:
        return []
    found = []
    if not network.transports.udp:
        given = f"FASTDDS_BUILTIN_TRANSPORTS={network.forced}" if network.forced else "the profile that sets transports"
        found.append(
            "no plain UDP: peers with Fast DDS's default transports hear nothing of this node, and it nothing of them; "
            f"unset {given}"
        )
    if network.transports.shared_memory_bytes < LARGE_IMAGE_BYTES:
        found.append(
            "little or no shared memory: large images between programs of this machine may be lost; let "
            "config/fastdds.xml set transports, and give /dev/shm room (docker run --ipc=host, or --shm-size=1g)"
        )
    return found

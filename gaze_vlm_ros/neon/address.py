"""Where the glasses are on the network: a given address, or one that is discovered."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit, urlunsplit

from pupil_labs.realtime_api import Network

from gaze_vlm_ros.errors import GazeVlmError

ANOTHER_DEVICE_S = 1.0  # a second pair of glasses has this long to answer after the first


class BadAddress(GazeVlmError):
    """The device's address is not of the form host:port."""


class NoDeviceFound(GazeVlmError):
    """No device, or more than one, answered by zeroconf."""


@dataclass(frozen=True)
class Address:
    """Host and port of the app's REST API."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @staticmethod
    def parse(text: str) -> Address:
        """Read host:port, or a host only for the app's usual port. Raises BadAddress."""
        host, colon, port = text.strip().rpartition(":")
        if not colon:
            host, port = port, "8080"  # the app's
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise BadAddress(f"device address '{text}' is not host:port, such as 192.168.1.20:8080 or neon.local:8080")
        return Address(host, int(port))


def with_host(url: str, host: str) -> tuple[str, str]:
    """Return a URL with another host, and the host that it named. Raises ValueError for what is no URL."""
    parts = urlsplit(url)
    port = parts.port  # raises where it is none
    place = f"[{host}]" if ":" in host else host
    return urlunsplit(parts._replace(netloc=place if port is None else f"{place}:{port}")), parts.hostname or ""


def is_other_host(named: str, host: str) -> bool:
    """Whether `named` is not `host`, as far as that is known without asking for what names mean."""
    try:
        return ip_address(named) != ip_address(host)
    except ValueError:
        return named != host and not (_is_ip(named) and not _is_ip(host))


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


async def discover(timeout_s: float) -> Address:
    """Return the only device that answers by zeroconf. Raises NoDeviceFound for none or several."""
    found: dict[Address, str] = {}
    async with Network() as network:
        wait_s = timeout_s
        while (device := await network.wait_for_new_device(wait_s)) is not None:
            found[Address(device.addresses[0], device.port)] = device.name.split("._http")[0]
            wait_s = ANOTHER_DEVICE_S
    if not found:
        raise NoDeviceFound(
            f"no glasses announced themselves within {timeout_s:g} s; is the phone on this network with the app open? "
            "If so, give its address as shown in the app's menu, 'Streaming': -p address:=192.168.1.20:8080"
        )
    if len(found) > 1:
        choice = ", ".join(f"{address} ({name})" for address, name in found.items())
        raise NoDeviceFound(f"more than one pair of glasses is here, give the address of one: {choice}")
    return next(iter(found))

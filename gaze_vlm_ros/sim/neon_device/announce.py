"""Service discovery: the app announces its REST API by multicast DNS."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gaze_vlm_ros.sim.neon_device.device import NeonDevice


@asynccontextmanager
async def announced(device: NeonDevice, enabled: bool = True) -> AsyncIterator[None]:
    """Announce the device under the app's naming pattern while the block runs."""
    if not enabled:
        yield
        return
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

    info = device.recording.info
    host = device.settings.host
    address = _outward_address() if host == "0.0.0.0" else socket.gethostbyname(host)
    name = f"PI monitor:{info.get('android_device_name', 'Neon')}:{info.get('android_device_id', 'simulated')}"
    service = AsyncServiceInfo(
        "_http._tcp.local.",
        f"{name}._http._tcp.local.",
        addresses=[socket.inet_aton(address)],
        port=device.port,
        server="neon-simulated.local.",
    )
    zeroconf = AsyncZeroconf()
    await zeroconf.async_register_service(service, allow_name_change=True)
    try:
        yield
    finally:
        await zeroconf.async_unregister_service(service)
        await zeroconf.async_close()


def _outward_address() -> str:
    """Return the address of the interface through which other machines reach us."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent: a route is looked up (RFC 5737 address)
        return str(probe.getsockname()[0])

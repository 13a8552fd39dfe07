"""`python -m gaze_vlm_ros.sim.neon_device FOLDER`: a Neon on this machine's network that replays a recording."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
from pathlib import Path

from gaze_vlm_ros.errors import GazeVlmError, exit_code
from gaze_vlm_ros.neon.recording import read_recording
from gaze_vlm_ros.sim.neon_device.announce import announced
from gaze_vlm_ros.sim.neon_device.clock import SkewedClock
from gaze_vlm_ros.sim.neon_device.device import DeviceSettings, NeonDevice
from gaze_vlm_ros.sim.neon_device.faults import FAULT_HELP, Fault

PROGRAM = "neon_device"


class PortTaken(GazeVlmError):
    """The requested address or port is not available."""


def main() -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__)
    parser.add_argument("folder", type=Path, help="a recording in the Companion app's native format")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=8080, help="port of the REST API; 0 = a free one (default: %(default)s)"
    )
    parser.add_argument("--rtsp-port", type=int, default=0, help="RTSP port of the streams; 0 = a free one (default)")
    parser.add_argument(
        "--clock-offset-s", type=float, default=0.0, help="device clock minus this machine's clock (default: 0)"
    )
    parser.add_argument(
        "--drift-ppm",
        type=float,
        default=0.0,
        help="how much faster the device clock runs than this machine's (default: 0)",
    )
    parser.add_argument("--transport", choices=("udp", "tcp"), default="udp", help="RTP transport announced to clients")
    parser.add_argument(
        "--latency-s", type=float, default=0.03, help="delay from acquisition to sending (default: %(default)s)"
    )
    parser.add_argument("--once", action="store_true", help="replay once, starting after the first PLAY, then exit")
    parser.add_argument(
        "--fault", action="append", default=[], metavar="FAULT", help=f"inject a fault, may be repeated: {FAULT_HELP}"
    )
    parser.add_argument("--announce", action="store_true", help="let clients discover it by zeroconf")
    parser.add_argument("--log", type=Path, help="write what was replayed, and the clock's truth, to this JSON file")
    arguments = parser.parse_args()
    logging.basicConfig(format=f"{PROGRAM}: %(message)s", level=logging.INFO)
    logging.getLogger("aiohttp").setLevel(logging.WARNING)
    return exit_code(PROGRAM, lambda: asyncio.run(serve(arguments)))


async def serve(arguments: argparse.Namespace) -> None:
    """Replay until the recording ends or a signal comes. Raises PortTaken."""
    settings = DeviceSettings(
        host=arguments.host,
        port=arguments.port,
        rtsp_port=arguments.rtsp_port,
        clock=SkewedClock(arguments.clock_offset_s, arguments.drift_ppm),
        transport=arguments.transport,
        once=arguments.once,
        latency_s=arguments.latency_s,
        schedule=tuple(Fault.parse(text) for text in arguments.fault),
    )
    device = NeonDevice(read_recording(arguments.folder), settings)
    stop = asyncio.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    try:
        await device.__aenter__()
    except OSError as error:
        raise PortTaken(f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}") from None
    try:
        async with announced(device, arguments.announce):
            streams = ", ".join(f"{name}" for name in device.streams)
            print(f"{PROGRAM}: {streams} of {arguments.folder} at {settings.host}:{device.port}", flush=True)
            waits = [asyncio.ensure_future(event.wait()) for event in (stop, device.finished)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
    finally:
        await device.__aexit__()
        counts = {name: stream.samples_sent for name, stream in device.streams.items()}
        print(f"{PROGRAM}: sent " + ", ".join(f"{count} {name}" for name, count in counts.items()), flush=True)
        if arguments.log:
            write_log(arguments.log, device, counts)


def write_log(path: Path, device: NeonDevice, counts: dict[str, int]) -> None:
    """Write what a check needs: where on the device's clock the recording was, and how that clock ran."""
    clock = device.clock
    log = {
        "recording": str(device.recording.folder),
        "session_starts_ns": device.session_starts_ns,
        "clock": {
            "offset_s": clock.offset_s,
            "drift_ppm": clock.drift_ppm,
            "epoch_host_ns": clock.epoch_host_ns,
        },
        "sent": counts,
    }
    path.write_text(json.dumps(log, indent=1))


if __name__ == "__main__":
    raise SystemExit(main())

"""How far the stamps of the glasses' samples are from their true acquisition, with a phone whose clock errs.

python benchmark/clock_offset.py [--minutes 10] [--loopback-s 120]

First DeviceClock alone, on time echoes over simulated networks, so that ten minutes take a moment: the error at each
sample of a 200 Hz stream, by what the clock knew then. Below it what the same echoes give where the offset is measured
once at the start, and where it is the mean of the round trips' middles. Then the whole way, in real time: simulated
glasses, sockets, the real client.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaze_vlm_ros.neon.address import Address
from gaze_vlm_ros.neon.client import NeonClient
from gaze_vlm_ros.neon.device_clock import DeviceClock, OffsetEstimate, TimeEcho, estimate_offset
from gaze_vlm_ros.neon.recording import GazeSamples, ImuSamples, NativeRecording
from gaze_vlm_ros.neon.time_echo import ECHO_PAUSE_S, ECHOES
from gaze_vlm_ros.sim.neon_device.clock import SkewedClock
from gaze_vlm_ros.sim.neon_device.device import DeviceSettings, NeonDevice

HOST_NS = 1_700_000_000_000_000_000
PERIOD_S = 5.0  # between estimates, the node's default
GAZE_HZ = 200
SEEDS = range(5)
Draw = Callable[[np.random.Generator], tuple[float, float]]  # one-way delays of one echo, there and back, in ms


@dataclass(frozen=True)
class Network:
    name: str
    delays_ms: Draw


def cable(draw: np.random.Generator) -> tuple[float, float]:
    return tuple(0.15 + draw.exponential(0.05, 2))  # type: ignore[return-value]


def wifi(draw: np.random.Generator) -> tuple[float, float]:
    """A quiet access point: now and then a packet waits for the radio."""
    waits = np.where(draw.random(2) < 0.05, draw.uniform(5, 80, 2), 0.0)
    return tuple(0.8 + draw.exponential(1.0, 2) + waits)  # type: ignore[return-value]


def busy_wifi(draw: np.random.Generator) -> tuple[float, float]:
    """The phone's uplink is full of its own video: the way back is slower, always."""
    waits = np.where(draw.random(2) < 0.3, draw.uniform(5, 120, 2), 0.0)
    return tuple(np.array([0.8, 1.8]) + draw.exponential((1.5, 4.0)) + waits)  # type: ignore[return-value]


NETWORKS = [Network("cable", cable), Network("Wi-Fi", wifi), Network("busy Wi-Fi, slower back", busy_wifi)]


def take_echoes(clock: SkewedClock, start_ns: int, network: Network, draw: np.random.Generator) -> list[TimeEcho]:
    """One round of echoes as the client takes them; the phone cuts its time to milliseconds."""
    echoes = []
    for _ in range(ECHOES):
        there_ns, back_ns = (round(ms * 1e6) for ms in network.delays_ms(draw))
        received_ns = start_ns + there_ns + back_ns
        echoes.append(TimeEcho(start_ns, received_ns, clock.device_ns(start_ns + there_ns) // 1_000_000))
        start_ns = received_ns + round(ECHO_PAUSE_S * 1e9)
    return echoes


def middle_offset_ns(echoes: list[TimeEcho]) -> float:
    """The mean over all echoes of round trip's middle minus the phone's millisecond."""
    return float(np.mean([(e.sent_ns + e.received_ns) / 2 - e.device_ms * 1e6 - HOST_NS for e in echoes])) + HOST_NS


def simulate(
    offset_s: float, network: Network, minutes: float, seed: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Errors in ms of every gaze sample: DeviceClock's, with the first estimate kept, with the newest middle."""
    draw = np.random.default_rng(seed)
    phone = SkewedClock(offset_s, 50.0, HOST_NS)
    clock = DeviceClock()
    first: OffsetEstimate | None = None
    errors: tuple[list[float], list[float], list[float]] = ([], [], [])
    for second in np.arange(0.0, minutes * 60, PERIOD_S):
        start_ns = HOST_NS + round(second * 1e9)
        echoes = take_echoes(phone, start_ns, network, draw)
        estimate = estimate_offset(echoes)
        assert estimate is not None
        clock.add(estimate)
        first = first or estimate
        middle_ns = middle_offset_ns(echoes)
        # Samples that arrive until the next round.
        for sample_ns in range(echoes[-1].received_ns, start_ns + round(PERIOD_S * 1e9), 1_000_000_000 // GAZE_HZ):
            device_ns = phone.device_ns(sample_ns)
            errors[0].append((clock.to_host_ns(device_ns) - sample_ns) / 1e6)
            errors[1].append((device_ns + first.offset_ns - sample_ns) / 1e6)
            errors[2].append((device_ns + middle_ns - sample_ns) / 1e6)
    of_clock, of_first, of_middle = (np.abs(error) for error in errors)
    return of_clock, of_first, of_middle


def line(name: str, errors_ms: npt.NDArray[np.float64]) -> str:
    median, p99 = np.percentile(errors_ms, (50, 99))
    return f"{name:<58}{len(errors_ms):>10}{median:>10.3f}{p99:>10.3f}{errors_ms.max():>10.3f}"


def gaze_alone(seconds: float) -> NativeRecording:
    """A recording of gaze at 200 Hz whose x counts the samples."""
    stamps_ns = HOST_NS + np.arange(round(seconds * GAZE_HZ)) * (1_000_000_000 // GAZE_HZ)
    xy_px = np.stack([np.arange(len(stamps_ns)), np.zeros(len(stamps_ns))], axis=1).astype(np.float32)
    nothing = ImuSamples(np.empty(0, np.int64), np.empty((0, 3)), np.empty((0, 3)), np.empty((0, 4)))
    gaze = GazeSamples(stamps_ns, xy_px, np.ones(len(stamps_ns), np.bool_), {})
    return NativeRecording(Path("none"), {}, None, (), gaze, nothing)


async def loopback(offset_s: float, seconds: float) -> tuple[npt.NDArray[np.float64], int]:
    """Errors in ms of what the real client delivers, and how many samples were sent."""
    got: list[tuple[int, int]] = []  # number, stamp
    settings = DeviceSettings(port=0, once=True, clock=SkewedClock(offset_s, 50.0), start_delay_s=0.5)
    async with NeonDevice(gaze_alone(seconds), settings) as device:
        client = NeonClient(
            Address("127.0.0.1", device.port),
            ("gaze",),
            lambda _, gaze, __, host_ns: got.append((round(gaze.x), host_ns)),
            lambda *_: None,
        )
        running = asyncio.ensure_future(client.run())
        await device.finished.wait()
        running.cancel()
        await asyncio.wait([running])
    true_ns = np.array([host_ns for _, host_ns in device.streams["gaze"].sent])
    numbers, stamps_ns = np.array(got).T
    return np.abs(stamps_ns - true_ns[numbers]) / 1e6, len(true_ns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="simulated (default: %(default)s)")
    parser.add_argument("--loopback-s", type=float, default=120.0, help="in real time; 0 = none (default: %(default)s)")
    arguments = parser.parse_args()
    print(f"{'50 ppm, ' + format(arguments.minutes, 'g') + ' simulated minutes':<58}"
          f"{'samples':>10}{'p50 ms':>10}{'p99 ms':>10}{'max ms':>10}")  # fmt: skip
    for network in NETWORKS:
        for offset_s in (0.25, -0.25):
            runs = [simulate(offset_s, network, arguments.minutes, seed) for seed in SEEDS]
            name = f"{network.name}, {offset_s * 1e3:+.0f} ms"
            for what, errors_ms in zip(
                ("", ", first estimate kept", ", newest middle"), zip(*runs, strict=True), strict=True
            ):
                print(line(name + what, np.concatenate(errors_ms)), flush=True)
    if arguments.loopback_s:
        for offset_s in (0.25, -0.25):
            errors_ms, sent = asyncio.run(loopback(offset_s, arguments.loopback_s / 2))
            name = f"loopback in real time, {offset_s * 1e3:+.0f} ms, {len(errors_ms)} of {sent} delivered"
            print(line(name, errors_ms), flush=True)


if __name__ == "__main__":
    main()

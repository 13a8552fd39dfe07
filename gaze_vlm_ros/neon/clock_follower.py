"""Keep the offset between the phone's clock and this host's, and tell the streams when either clock was set."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NoReturn

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.neon.address import Address
from gaze_vlm_ros.neon.clock_state import MOVED_NS, ClockState
from gaze_vlm_ros.neon.connection_errors import CONNECTION_ERRORS
from gaze_vlm_ros.neon.device_clock import DeviceClock, TimeEcho, estimate_offset
from gaze_vlm_ros.neon.stream import NeonStream
from gaze_vlm_ros.neon.time_echo import ECHOES, take_echoes

CHECK_PAUSE_S = 0.1  # between estimates of the offset while it is in doubt
FIRST_ESTIMATES = 5  # at most, before the first sample, until one is certain enough
QUICK_ECHOES = 5  # enough to see whether a clock was set, though not by how much to a tenth of a millisecond


class ClockUnknown(GazeVlmError):
    """The phone does not report its time, so its stamps cannot be used."""


@dataclass
class ClockFollower:
    """Estimates the offset by time echoes: every `period_s`, and at once when a stream doubts it.

    `notice(is_good, text)` gets one line when a clock was set, or when the phone stops or starts answering.
    """

    address: Address
    notice: Callable[[bool, str], None]
    streams: Callable[[], Iterable[NeonStream]]  # all that wait for the clock
    clock: DeviceClock = field(default_factory=DeviceClock)
    now_ns: Callable[[], int] = time.time_ns  # this host's clock
    steady_ns: Callable[[], int] = time.monotonic_ns  # a clock of this host that nobody sets
    period_s: float = 5.0
    port: int | None = None  # of the phone's time echo, once known
    _requested: asyncio.Event = field(default_factory=asyncio.Event)  # estimate at once
    _estimating: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.state = ClockState(self.clock, self.now_ns, self._requested.set, self.steady_ns)

    def age_ns(self, device_ns: int) -> int:
        """Return how long ago a moment of the phone's clock was. Raises LookupError before the first estimate."""
        return self.now_ns() - self.clock.to_host_ns(device_ns)

    async def begin(self, pause_s: float) -> None:
        """Estimate the offset before the first sample; wait `pause_s` after an attempt that failed.

        Raises ClockUnknown when the phone has no time echo or does not answer.
        """
        if not self.port:
            raise ClockUnknown(f"the phone at {self.address} has no time echo; update the Companion app")
        for _ in range(FIRST_ESTIMATES):
            if not await self.estimate():
                await asyncio.sleep(pause_s)
            elif self.clock.latest is not None and self.clock.latest.uncertainty_ns <= MOVED_NS:
                return
        if (latest := self.clock.latest) is None:
            raise ClockUnknown(
                f"the phone at {self.address} does not answer time echoes on port {self.port}; "
                "let TCP to that port pass"
            )
        uncertain_ms = latest.uncertainty_ns / 1e6
        self.notice(False, f"time echoes are slow: stamps may be off by {uncertain_ms:.1f} ms until they are faster")

    async def follow(self) -> NoReturn:
        """Estimate the offset forever."""
        answered = True
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._requested.wait(), self.period_s)
            self._requested.clear()
            was_answered, answered = answered, await self.estimate()
            if answered != was_answered:
                lost = "no answer to time echoes: the last offset and drift hold, unless a clock is in doubt"
                self.notice(answered, "time echoes are answered again" if answered else lost)
            if self.state.doubted:
                self._requested.set()
            await asyncio.sleep(CHECK_PAUSE_S)

    async def estimate(self) -> bool:
        """Update the clock and let the samples go that waited for it; return whether the phone answered."""
        if not self.port:
            return False
        async with self._estimating:
            began_ns = self.now_ns()
            try:
                if self.state.doubted and await self._is_unchanged():
                    self.state.checked(began_ns, found_step=False)
                else:
                    await self._estimate_well(began_ns)
            except CONNECTION_ERRORS:
                return False
            for stream in self.streams():
                stream.pump()
            return True

    async def _is_unchanged(self) -> bool:
        """Check the phone's clock quickly, while samples wait for it. Raises one of CONNECTION_ERRORS."""
        estimate = estimate_offset(await self._take_echoes(QUICK_ECHOES))
        return estimate is not None and estimate.uncertainty_ns <= MOVED_NS and not self.clock.is_step(estimate)

    async def _estimate_well(self, began_ns: int) -> None:
        """Update the clock. Raises one of CONNECTION_ERRORS."""
        estimate = estimate_offset(await self._take_echoes(ECHOES))
        if estimate is None:
            raise ConnectionError("the time echoes contradict each other")
        before = self.clock.latest
        step_ns = self.clock.add(estimate)
        host_step_ns = self.state.checked(began_ns, found_step=step_ns != 0)
        if step_ns and before is not None:
            since_s = (estimate.device_ns - before.device_ns + step_ns) / 1e9
            self._clocks_were_set(step_ns, host_step_ns, since_s)

    async def _take_echoes(self, count: int) -> list[TimeEcho]:
        assert self.port
        return await take_echoes(self.address.host, self.port, count, self.now_ns)

    def _clocks_were_set(self, step_ns: int, host_step_ns: int, since_s: float) -> None:
        """Host minus device has jumped by `step_ns`, of which the host's clock did `host_step_ns`."""
        device_step_ns = host_step_ns - step_ns
        if host_step_ns:
            step = f"{host_step_ns / 1e9:+.4f} s"
            self.notice(False, f"this host's clock was set by {step}: stamps follow it from now on")
            for stream in self.streams():
                stream.guard.forget_order()
        if abs(device_step_ns) > MOVED_NS:
            within = f"within the last {since_s:.1f} s"
            self.notice(False, f"the phone's clock was set by {device_step_ns / 1e9:+.4f} s {within}")
            for stream in self.streams():
                stream.clock_was_set(device_step_ns)

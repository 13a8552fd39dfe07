"""The phone's clock: off from the host's by an offset that drifts, and set ahead or back at times."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SkewedClock:
    """A clock that reads `offset_s` more than the host's at its epoch and runs `drift_ppm` fast from there.

    Times are Unix time in int64 ns on either clock.
    """

    offset_s: float = 0.0
    drift_ppm: float = 0.0
    epoch_host_ns: int = field(default_factory=time.time_ns)

    def device_ns(self, host_ns: int) -> int:
        """What this clock reads at a moment of the host's clock."""
        elapsed_ns = host_ns - self.epoch_host_ns
        # Offset and drift apart from the epoch: a float cannot hold Unix time to the nanosecond.
        return host_ns + round(self.offset_s * 1e9) + round(elapsed_ns * self.drift_ppm * 1e-6)

    def host_ns(self, device_ns: int) -> int:
        """When on the host's clock this clock read `device_ns`."""
        elapsed_ns = device_ns - self.epoch_host_ns - round(self.offset_s * 1e9)
        drift = self.drift_ppm * 1e-6
        return self.epoch_host_ns + elapsed_ns - round(elapsed_ns * drift / (1 + drift))


@dataclass
class PhoneClock:
    """What the phone's user sees: `steady`, and on top of it each time that the clock was set."""

    steady: SkewedClock
    host_now_ns: Callable[[], int] = time.time_ns
    settings: list[tuple[int, int]] = field(default_factory=list)  # (host time, by how much), ns

    def set_by(self, seconds: float) -> None:
        """Set the clock ahead, or back where negative, from now on."""
        self.settings.append((self.host_now_ns(), round(seconds * 1e9)))

    def now_ns(self) -> int:
        """The phone's time now."""
        return self.device_ns(self.host_now_ns())

    def device_ns(self, host_ns: int) -> int:
        """What the phone showed at a moment of the host's clock."""
        set_ns = sum(step_ns for at_ns, step_ns in self.settings if at_ns <= host_ns)
        return self.steady.device_ns(host_ns) + set_ns

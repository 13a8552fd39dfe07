"""Whether a stream's clock is known, and how long to wait until it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from gaze_vlm_ros.neon.device_clock import DeviceClock

# Impossible stamps that arrive within this time after a check of the clock are refused without another check. The time
# doubles with each check that finds nothing, so that a tracker that is always wrong does not hold everything up.
PATIENCE_NS, LONGEST_PATIENCE_NS = 250_000_000, 4_000_000_000
MOVED_NS = 2_000_000  # smaller differences are measurement error, not a clock that was set


@dataclass
class ClockState:
    """Whether the offset between the clocks can be trusted, for all streams. While it is in doubt, samples wait."""

    clock: DeviceClock
    now_ns: Callable[[], int]  # this host's clock
    ask: Callable[[], None]  # requests a check
    steady_ns: Callable[[], int] = time.monotonic_ns  # a clock of this host that nobody sets
    doubted: bool = False
    _checked_ns: int = 0  # when the last check began
    _patience_ns: int = PATIENCE_NS
    _ahead_ns: int | None = None  # host's clock minus the steady one, at the last check

    def doubt(self) -> None:
        """Hold all samples until the offset has been checked."""
        self.doubted = True
        self.ask()

    def is_sure(self) -> bool:
        """Whether samples can be stamped. Starts to doubt by itself when this host's clock was set."""
        if not self.doubted and abs(self._host_moved_ns()) > MOVED_NS:
            self.doubt()
        return not self.doubted

    def checked(self, began_ns: int, found_step: bool) -> int:
        """Note a new estimate; return by how many ns this host's clock was set since the one before."""
        fruitless = self.doubted and not found_step
        self._patience_ns = min(2 * self._patience_ns, LONGEST_PATIENCE_NS) if fruitless else PATIENCE_NS
        self.doubted, self._checked_ns = False, began_ns
        moved_ns = self._host_moved_ns()
        self._ahead_ns = self.now_ns() - self.steady_ns()
        return moved_ns if abs(moved_ns) > MOVED_NS else 0

    def was_checked_for(self, arrival_ns: int, is_refused: bool) -> bool:
        """Whether the offset was checked after a sample arrived or, for a refused sample, not long before."""
        return arrival_ns < self._checked_ns + (self._patience_ns if is_refused else 0)

    def _host_moved_ns(self) -> int:
        return 0 if self._ahead_ns is None else self.now_ns() - self.steady_ns() - self._ahead_ns

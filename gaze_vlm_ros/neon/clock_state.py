"""Whether a stream's clock is known, and how long to wait until it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from gaze_vlm_ros.neon.device_clock import DeviceClock

# After a check of the clock, impossible stamps that arrive within this are refused without another one. It doubles with
# every check that finds nothing, so that a tracker that is always wrong does not hold everything up.
PATIENCE_NS, LONGEST_PATIENCE_NS = 250_000_000, 4_000_000_000
MOVED_NS = 2_000_000  # a clock that was set by less was not set


@dataclass
class ClockState:
    """The offset between the clocks as all streams see it. While it is in doubt, samples wait until it was checked."""

    clock: DeviceClock
    now_ns: Callable[[], int]  # this host's clock
    ask: Callable[[], None]  # for a check, soon
    steady_ns: Callable[[], int] = time.monotonic_ns  # a clock of this host that nobody sets
    doubted: bool = False
    _checked_ns: int = 0  # when the last check began
    _patience_ns: int = PATIENCE_NS
    _ahead_ns: int | None = None  # host's clock minus the steady one, at the last check

    def doubt(self) -> None:
        self.doubted = True
        self.ask()

    def is_sure(self) -> bool:
        """Whether samples can be stamped; doubts by itself when this host's clock was set."""
        if not self.doubted and abs(self._host_moved_ns()) > MOVED_NS:
            self.doubt()
        return not self.doubted

    def checked(self, began_ns: int, found_step: bool) -> int:
        """The offset has been estimated anew; by how much this host's clock was set since the last time, ns."""
        fruitless = self.doubted and not found_step
        self._patience_ns = min(2 * self._patience_ns, LONGEST_PATIENCE_NS) if fruitless else PATIENCE_NS
        self.doubted, self._checked_ns = False, began_ns
        moved_ns = self._host_moved_ns()
        self._ahead_ns = self.now_ns() - self.steady_ns()
        return moved_ns if abs(moved_ns) > MOVED_NS else 0

    def was_checked_for(self, arrival_ns: int, is_refused: bool) -> bool:
        """Whether the offset has been looked at since a sample arrived; or, where it is refused, not long before."""
        return arrival_ns < self._checked_ns + (self._patience_ns if is_refused else 0)

    def _host_moved_ns(self) -> int:
        return 0 if self._ahead_ns is None else self.now_ns() - self.steady_ns() - self._ahead_ns

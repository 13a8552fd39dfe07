"""When the camera's frames arrived, and after which silence it counts as stopped."""

from __future__ import annotations

import math
import statistics
from collections import deque

GAPS = 5  # the median of so many ignores two that a hiccup made long
# A camera whose frames jitter by half its period is still there.
PATIENCE_PERIODS = 1.5


class Arrivals:
    """Notes arrivals by one clock that never jumps back, s."""

    def __init__(self) -> None:
        self._newest_s = -math.inf
        self._gaps_s: deque[float] = deque(maxlen=GAPS)

    def note(self, now_s: float) -> None:
        """Note that a frame arrived."""
        if math.isfinite(self._newest_s):
            self._gaps_s.append(now_s - self._newest_s)
        self._newest_s = now_s

    def silence_s(self, now_s: float) -> float:
        """Return the time since the newest frame, s; infinite before the first."""
        return now_s - self._newest_s

    def patience_s(self, stale_after_s: float, valid_s: float) -> float:
        """Return the silence, s, after which input is stale: `stale_after_s`, or more for a slower camera.

        Otherwise a camera of 1.5 Hz and a limit of 0.5 s would make each answer stale before the next frame, and the
        answer would change twice a frame. valid_s: answers expire after it in any case.
        """
        period_s = statistics.median(self._gaps_s) if self._gaps_s else 0.0
        return max(stale_after_s, min(PATIENCE_PERIODS * period_s, valid_s))

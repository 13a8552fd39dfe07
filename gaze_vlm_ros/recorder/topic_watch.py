"""Notice while recording that a topic has gone silent, has slowed down, or is back. Called once per report."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from statistics import median

USUAL_OVER = 30  # reports, of a second each, that a topic's usual rate is the median of
KNOWN_AFTER = 5  # reports with messages before a rate counts as usual: a camera starts slowly
SLOW_SHARE = 0.5  # share of the usual rate below which a topic is slow
SLOW_OVER = 3  # reports; fewer would report every hiccup
SLOW_LEAST_HZ = 4.0  # a slower topic has too few messages in SLOW_OVER seconds to judge
SILENT_PERIODS = 10  # usual periods without a message, and at least SILENT_S: a 30 Hz camera may hang that long
SILENT_S = 1.0


@dataclass
class TopicWatch:
    """State of one regular topic. Irregular topics, such as labels, are not watched."""

    name: str
    _rates_hz: deque[float] = field(default_factory=lambda: deque(maxlen=USUAL_OVER))
    _recent_hz: deque[float] = field(default_factory=lambda: deque(maxlen=SLOW_OVER))
    _trouble: str = ""  # "silent", "slow" or none
    _silent_since_s: float = 0.0

    @property
    def usual_hz(self) -> float | None:
        """Median rate of the reports that had messages, Hz; None until it is known."""
        return median(self._rates_hz) if len(self._rates_hz) >= KNOWN_AFTER else None

    def report(self, count: int, period_s: float, now_s: float) -> str | None:
        """Return a text when the topic's state changed in the last period, else None.

        count: messages received in the last `period_s` seconds. now_s: time of any steady clock.
        """
        rate_hz = count / period_s
        self._recent_hz.append(rate_hz)
        usual_hz = self.usual_hz
        if not count:
            self._silent_since_s = self._silent_since_s or now_s - period_s
        if usual_hz is None:
            if count:
                self._rates_hz.append(rate_hz)
                self._silent_since_s = 0.0
            return None
        if not count:
            silence_s = now_s - self._silent_since_s
            if self._trouble != "silent" and silence_s >= max(SILENT_S, SILENT_PERIODS / usual_hz):
                self._trouble = "silent"
                return f"{self.name} has been silent for {silence_s:.1f} s; usual {usual_hz:.0f} Hz"
            return None
        silent_since_s, self._silent_since_s = self._silent_since_s, 0.0
        if self._trouble == "silent":
            self._trouble = ""
            self._recent_hz.clear()  # silence does not count as slowness
            return f"{self.name} is back after {now_s - period_s - silent_since_s:.1f} s"
        now_hz = sum(self._recent_hz) / len(self._recent_hz)
        slow = len(self._recent_hz) == SLOW_OVER and now_hz < SLOW_SHARE * usual_hz and usual_hz >= SLOW_LEAST_HZ
        if slow != (self._trouble == "slow"):
            self._trouble = "slow" if slow else ""
            change = "has slowed down to" if slow else "is up again to"
            return f"{self.name} {change} {now_hz:.1f} Hz; usual {usual_hz:.0f} Hz"
        if not slow:
            self._rates_hz.append(rate_hz)
        return None

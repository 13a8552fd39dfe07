"""Convert stamps from a device's clock to this host's: offset, uncertainty and drift from time echoes. No ROS.

An echo means that at some moment between sending and receiving the device's clock showed this millisecond. The offset
(host minus device) therefore lies in an interval as long as the round trip plus the millisecond, however unequal the
delays of the two directions are. The intervals of many echoes, taken at different phases of the millisecond, intersect
in a much shorter one (Marzullo, "Maintaining the time in a distributed system", 1984).

All times are Unix time in int64 ns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

MILLISECOND_NS = 1_000_000


@dataclass(frozen=True)
class TimeEcho:
    """One round trip. The device truncates its clock to whole milliseconds."""

    sent_ns: int  # host
    received_ns: int  # host
    device_ms: int


@dataclass(frozen=True)
class OffsetEstimate:
    """Host clock minus device clock at one time: `offset_ns` plus or minus `uncertainty_ns`, a hard bound."""

    device_ns: int  # when, on the device's clock
    offset_ns: int
    uncertainty_ns: int
    round_trip_ns: int  # the shortest among the echoes
    agreeing: int  # echoes that the interval satisfies
    echoes: int


def estimate_offset(echoes: Sequence[TimeEcho]) -> OffsetEstimate | None:
    """Return the offset that most echoes agree on; None when fewer than half of them agree on any.

    They disagree when a clock is set while they are taken.
    """
    usable = [echo for echo in echoes if echo.received_ns >= echo.sent_ns]  # else the host's clock was set back
    if not usable:
        return None
    # The device's clock was in [device_ms, device_ms + 1) at some moment in [sent, received].
    lower = [echo.sent_ns - (echo.device_ms + 1) * MILLISECOND_NS for echo in usable]
    upper = [echo.received_ns - echo.device_ms * MILLISECOND_NS for echo in usable]
    edges = sorted([(bound, 0) for bound in lower] + [(bound, 1) for bound in upper])
    covering = best = 0
    low = high = 0
    for index, (bound, is_end) in enumerate(edges):
        covering += -1 if is_end else 1
        if covering > best:
            best, low, high = covering, bound, edges[index + 1][0]
    if best * 2 < len(usable):
        return None
    return OffsetEstimate(
        device_ns=usable[len(usable) // 2].device_ms * MILLISECOND_NS,
        offset_ns=(low + high) // 2,
        uncertainty_ns=(high - low + 1) // 2,
        round_trip_ns=min(echo.received_ns - echo.sent_ns for echo in usable),
        agreeing=best,
        echoes=len(echoes),
    )


@dataclass
class DeviceClock:
    """Follows the offset while the device runs.

    The drift is the slope of a line through the last `memory` estimates, once they span `min_drift_span_s`; before
    that, the most certain estimate is used. An estimate farther off than the two clocks can drift apart is a step (a
    phone sets its clock by NTP): it is counted, and the estimates before it are discarded.
    """

    memory: int = 120  # estimates: ten minutes at one each five seconds, over which a phone's drift is steady
    min_drift_span_s: float = 20.0  # over a shorter span the rest of the millisecond would dominate the slope
    max_drift_ppm: float = 200.0  # quartz is within 100 on either side
    steps: int = 0
    _estimates: deque[OffsetEstimate] = field(default_factory=deque)
    _drift: float = 0.0  # offset's change for each ns of device time
    _anchor: tuple[int, float] = (0, 0.0)  # device time and offset that the line goes through, both ns

    @property
    def latest(self) -> OffsetEstimate | None:
        """Newest estimate, None before the first."""
        return self._estimates[-1] if self._estimates else None

    @property
    def drift_ppm(self) -> float:
        """How much faster the device's clock runs than the host's; 0 until it is known."""
        return 0.0 - self._drift * 1e6  # never -0.0

    def offset_ns(self, device_ns: int) -> int:
        """Return host minus device at a time of the device's clock. Raises LookupError before the first estimate."""
        if not self._estimates:
            raise LookupError("the offset of the device's clock has not been estimated yet")
        at_ns, offset_ns = self._anchor
        return round(offset_ns + self._drift * (device_ns - at_ns))

    def to_host_ns(self, device_ns: int) -> int:
        """Convert a device stamp to the host's clock. Raises LookupError before the first estimate."""
        return device_ns + self.offset_ns(device_ns)

    def add(self, estimate: OffsetEstimate) -> int:
        """Add an estimate; return by how many ns host minus device has jumped, 0 for no jump."""
        step_ns = 0
        if self._estimates and self.is_step(estimate):
            step_ns = estimate.offset_ns - self.offset_ns(estimate.device_ns)
            self.steps += 1
            self._estimates.clear()
        self._estimates.append(estimate)
        while len(self._estimates) > self.memory:
            self._estimates.popleft()
        self._fit()
        return step_ns

    def is_step(self, estimate: OffsetEstimate) -> bool:
        """Whether one of the clocks was set since the newest estimate. Raises LookupError before the first."""
        if not self._estimates:
            raise LookupError("the offset of the device's clock has not been estimated yet")
        previous = self._estimates[-1]
        apart_ns = abs(estimate.device_ns - previous.device_ns)
        allowed_ns = estimate.uncertainty_ns + previous.uncertainty_ns + apart_ns * self.max_drift_ppm * 1e-6
        # A millisecond more: a device that rounds its milliseconds is off by half of one, which the bounds ignore.
        return abs(estimate.offset_ns - previous.offset_ns) > allowed_ns + MILLISECOND_NS

    def _fit(self) -> None:
        newest = self._estimates[-1]
        span_ns = newest.device_ns - self._estimates[0].device_ns
        if span_ns < self.min_drift_span_s * 1e9:
            # A bound of an older estimate has widened by what the clocks may have drifted since.
            widening = self.max_drift_ppm * 1e-6
            best = min(
                reversed(self._estimates),
                key=lambda e: e.uncertainty_ns + widening * abs(newest.device_ns - e.device_ns),
            )
            self._anchor, self._drift = (best.device_ns, float(best.offset_ns)), 0.0
            return
        # Relative to the newest: a float cannot hold Unix time to the nanosecond.
        at_s = np.array([(e.device_ns - newest.device_ns) / 1e9 for e in self._estimates])
        offset_ns = np.array([e.offset_ns - newest.offset_ns for e in self._estimates], float)
        weight = 1.0 / np.array([max(e.uncertainty_ns, 1) for e in self._estimates], float)
        slope, intercept = np.polyfit(at_s, offset_ns, 1, w=weight)
        self._drift = float(slope) / 1e9
        self._anchor = (newest.device_ns, newest.offset_ns + float(intercept))


# Why a stamp is refused.
FUTURE, OLD, BACKWARDS = "future", "old", "backwards"


@dataclass
class StampGuard:
    """Judges whether samples of one stream can have been acquired at the time of their stamps.

    A sample cannot be acquired after it arrived, nor before its predecessor. Only a stream that was live since it was
    opened may deliver samples that are seconds old: otherwise a clock that is seconds off would look like a slow
    network.
    """

    max_future_ns: int = 50 * MILLISECOND_NS  # the offset's own error is far below
    max_age_ns: int = 10_000 * MILLISECOND_NS  # a network that stalls longer has lost its connection
    live_age_ns: int = 1_000 * MILLISECOND_NS  # of a stream that is live: far above a phone's and a network's delay
    early_ns: int = 5 * MILLISECOND_NS  # below the shortest delay so far is odd, though not impossible
    refused: dict[str, int] = field(default_factory=lambda: dict.fromkeys((FUTURE, OLD, BACKWARDS), 0))
    _newest_ns: int | None = None
    _live: bool = False
    _shortest_delay_ns: int | None = None

    def begin(self) -> None:
        """Start a connection: the stream counts as live only after its first fresh sample."""
        self._live, self._shortest_delay_ns = False, None

    def forget_order(self) -> None:
        """Allow stamps to go back once, because this host's clock was set."""
        self._newest_ns = None

    def trouble(self, stamp_ns: int, arrival_ns: int) -> str | None:
        """Return FUTURE, OLD or BACKWARDS for an impossible stamp, else None. Both times are on the host's clock."""
        if stamp_ns > arrival_ns + self.max_future_ns:
            return FUTURE
        if stamp_ns < arrival_ns - (self.max_age_ns if self._live else self.live_age_ns):
            return OLD
        if self._newest_ns is not None and stamp_ns <= self._newest_ns:
            return BACKWARDS
        return None

    def is_early(self, stamp_ns: int, arrival_ns: int) -> bool:
        """Whether the sample arrived sooner than any before: perhaps the device's clock was set ahead."""
        delay_ns = arrival_ns - stamp_ns
        return self._shortest_delay_ns is not None and delay_ns < self._shortest_delay_ns - self.early_ns

    def accept(self, stamp_ns: int, arrival_ns: int) -> None:
        """Note a sample that is used."""
        delay_ns = arrival_ns - stamp_ns
        self._live |= delay_ns <= self.live_age_ns
        self._newest_ns = stamp_ns
        if self._shortest_delay_ns is None or delay_ns < self._shortest_delay_ns:
            self._shortest_delay_ns = delay_ns

    def refuse(self, why: str) -> None:
        """Count a sample that is refused."""
        self.refused[why] += 1

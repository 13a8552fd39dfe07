"""Acquisition times of one stream's samples on the phone's clock, also while that clock is being set. Pure.

When the phone's clock is set, samples under way still have the old time, and later ones may or may not follow the
clock. A step therefore stays pending, and all samples count as taken before it, until the stream itself shows it: in
the times of its samples, or in its sender reports.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gaze_vlm_ros.neon.rtp import RtpClock, SenderReport, signed_difference
from gaze_vlm_ros.neon.samples import Motion

# A clock that was set by less is being slewed: stamps are off by no more than that for a moment.
TINY_STEP_NS = 20_000_000
# A step below this could be mistaken for a frame or two that the camera left out.
LARGE_STEP_NS = 250_000_000


@dataclass
class PendingSample:
    """A sample that has arrived and has no confirmed time yet."""

    timestamp: int  # RTP
    arrival_ns: int  # on this host's clock
    missing: int  # samples that were lost right before it
    content: Any  # one of samples.READERS' results, or a CodedFrame
    since_ns: int = 0  # when it began to wait, on a clock of this host that nobody sets
    is_step: bool = False  # the stream's time jumps here because the phone's clock was set

    @property
    def own_ns(self) -> int | None:
        """The acquisition time that the sample itself carries, on the phone's clock; None = only its RTP timestamp."""
        return self.content.device_ns if isinstance(self.content, Motion) else None


class SampleTime(NamedTuple):
    """When a sample was acquired."""

    device_ns: int  # on the phone's clock
    stream_ns: int  # on the stream's own scale, for comparison with the sample before
    is_jump: bool  # not where the last sample's time leads


@dataclass
class Intervals:
    """Recognizes when the times of a stream's samples jump, as they do when the clock they come from is set."""

    usual_ns: float | None = None  # between two samples
    _last_ns: int | None = None
    _skipped: int = 0

    def excess_ns(self, time_ns: int, missing: int) -> int:
        """Return how much farther than expected a sample lies from the last one, with `missing` samples in between.

        0 as long as there is nothing to compare with.
        """
        if self._last_ns is None or self.usual_ns is None:
            return 0
        return round(time_ns - self._last_ns - self.usual_ns * (1 + missing + self._skipped))

    def is_jump(self, excess_ns: int) -> bool:
        """Whether that exceeds the samples' own variation: any step back, or 1.5 intervals and 10 ms ahead."""
        usual_ns = self.usual_ns or 0.0
        return excess_ns < -usual_ns or excess_ns > 1.5 * usual_ns + 10_000_000

    def take(self, time_ns: int, is_regular: bool) -> None:
        """Note a sample that is used; a regular one refines the usual interval."""
        if self._last_ns is not None and is_regular and not self._skipped:
            interval_ns = time_ns - self._last_ns
            self.usual_ns = interval_ns if self.usual_ns is None else 0.9 * self.usual_ns + 0.1 * interval_ns
        self._last_ns, self._skipped = time_ns, 0

    def skip(self) -> None:
        """Note a sample that is refused for its time."""
        self._skipped += 1


@dataclass
class StreamTiming:
    """Times of one stream over all its connections."""

    clock: RtpClock = field(default_factory=lambda: RtpClock(90_000))
    broken: str = ""  # why nothing more can be stamped in this connection
    _intervals: Intervals = field(default_factory=Intervals)
    _stream_ns: int = 0  # time of the newest used sample since the first one, in the stream's own ticks
    _timestamp: int | None = None  # RTP timestamp of that sample
    _steps: list[int] = field(default_factory=list)  # of the phone's clock that the stream has not shown yet, ns

    def begin(self, rate_hz: int) -> None:
        """Start a connection: it has RTP timestamps of its own, so nothing of the one before holds."""
        self.clock = RtpClock(rate_hz, doubted=self.clock.doubted)
        self._intervals = Intervals()
        self._timestamp, self._steps, self.broken = None, [], ""

    def time(self, sample: PendingSample) -> SampleTime | None:
        """Return when the sample was acquired; None while no sender report tells, or when `broken` says why not."""
        own_ns = sample.own_ns
        device_ns = self.clock.device_ns(sample.timestamp) if own_ns is None else own_ns
        if device_ns is None:
            return None
        stream_ns = self._stream_time_ns(sample.timestamp) if own_ns is None else own_ns
        is_jump = self._sees_jump(sample, stream_ns)
        return None if self.broken else SampleTime(device_ns + sum(self._steps), stream_ns, is_jump)

    def use(self, sample: PendingSample, time: SampleTime) -> None:
        """Note a sample that is used: the next one is compared with it."""
        self._intervals.take(time.stream_ns, is_regular=not (time.is_jump or sample.is_step or sample.missing))
        self._stream_ns, self._timestamp = time.stream_ns, sample.timestamp

    def skip(self) -> None:
        """Note a sample that is refused for its time."""
        self._intervals.skip()

    def take_report(self, report: SenderReport, is_live: bool) -> bool:
        """Take a sender report; return whether it is believed. is_live: its time is about now."""
        if not is_live:
            self.clock.doubted += 1
        shown_ns = self.clock.add(report, self._steps) if is_live else None
        if shown_ns:
            self._steps.remove(shown_ns)
        elif shown_ns is None and self.clock.contradicted:
            self.broken = "its sender reports contradict those before"
        return shown_ns is not None

    def clock_was_set(self, step_ns: int) -> None:
        """Note that the phone's clock was set ahead by `step_ns`."""
        if self._timestamp is None:  # whether the first report is from before or after cannot be known
            self.broken = "the phone's clock was set before the first sample had a time"
        elif not self.clock.explain(step_ns):
            self._steps.append(step_ns)

    def _stream_time_ns(self, timestamp: int) -> int:
        """Time of an RTP timestamp since the stream's first sample, through its wraps."""
        if self._timestamp is None:
            return 0
        ticks = signed_difference(timestamp, self._timestamp, 32)
        return self._stream_ns + round(ticks * 1e9 / self.clock.rate_hz)

    def _sees_jump(self, sample: PendingSample, stream_ns: int) -> bool:
        """Whether a sample's time is not where the last one's leads. A pending step that explains it is settled."""
        if sample.is_step:
            return False
        excess_ns = self._intervals.excess_ns(stream_ns, sample.missing)
        usual_ns = self._intervals.usual_ns or 0.0
        for step_ns in self._steps:
            wide, narrow = 1.5 * usual_ns + 10_000_000, max(0.2 * usual_ns, 5_000_000)
            if abs(excess_ns - step_ns) <= (wide if abs(step_ns) >= LARGE_STEP_NS else narrow):
                self._steps.remove(step_ns)
                sample.is_step = True
                return False
        is_jump = self._intervals.is_jump(excess_ns)
        if is_jump and self._steps:
            self.broken = f"the phone's clock was set, and its samples jump by {excess_ns / 1e9:+.3f} s"
        return is_jump

"""One stream of the glasses: from packets to samples that are known to be right. The rest is counted. No sockets.

Packets are put in order, frames checked for completeness, and every sample is stamped and judged. A sample whose time
is not known yet, because no sender report has come or a clock is in doubt, waits; if it waits too long it is dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pupil_labs.realtime_api.streaming.video import VideoFrame

from gaze_vlm_ros.neon.clock_state import ClockState
from gaze_vlm_ros.neon.description import Description, parameter_sets
from gaze_vlm_ros.neon.device_clock import FUTURE, OLD, StampGuard
from gaze_vlm_ros.neon.h264_rtp import CodedFrame, FrameAssembler
from gaze_vlm_ros.neon.packet_sink import StreamLost
from gaze_vlm_ros.neon.rtp import InOrder, MalformedPacket, RtpPacket, SenderReport, parse_rtcp, parse_rtp
from gaze_vlm_ros.neon.samples import LONGEST_EVENT_NS, READERS, EyeEvent, Motion, UnreadableSample
from gaze_vlm_ros.neon.source_filter import SourceFilter
from gaze_vlm_ros.neon.timing import TINY_STEP_NS, PendingSample, StreamTiming
from gaze_vlm_ros.neon.video_decoder import VideoDecoder

# What may wait for its time: far above 10 s of any stream of the glasses.
MAX_WAITING, MAX_WAITING_BYTES = 10_000, 64 << 20
SETTLING_NS = 2_000_000_000  # eye events that arrive so soon after a step of the phone's clock may be from before it

VIDEOS = ("world", "eyes")

# In place of an eye event: some may have been lost before the next; the phone's clock is another from now on.
EVENTS_MISSING, CLOCK_SET = "events missing", "clock set"


@dataclass
class NeonStream:
    """The receiving end of one stream over all its connections; a packet_sink.PacketSink.

    `deliver(name, datum, device_ns, host_ns)` gets each good sample with its acquisition time on both clocks: one of
    the vendor's gaze formats, its IMUData or its VideoFrame, or a list of the AAC access units in a packet. An EyeEvent
    carries its own times; EVENTS_MISSING or CLOCK_SET may come in its place.
    """

    name: str  # "world", "gaze", "imu", "eyes", "audio", "eye_events"
    state: ClockState
    deliver: Callable[[str, Any, int, int], None]
    when_opened: Callable[[], None] = lambda: None  # called when the description is known
    hold_s: float = 10.0  # longest wait for a time: sender reports are seconds apart
    delivered: int = 0
    unreadable: int = 0  # packets, and samples in them, that cannot be read
    untimed: int = 0  # samples whose time did not become known
    last_unreadable: str = ""
    guard: StampGuard = field(default_factory=StampGuard)
    source: SourceFilter = field(default_factory=SourceFilter)
    in_order: InOrder = field(default_factory=InOrder)
    frames: FrameAssembler = field(default_factory=FrameAssembler)
    decoder: VideoDecoder[tuple[int, int, bool]] = field(default_factory=VideoDecoder)  # device, host ns; stamp is good
    timing: StreamTiming = field(default_factory=StreamTiming)
    description: Description | None = None  # of the newest connection
    _settled_ns: int = 0  # steady time before which eye events are refused
    _waiting: deque[PendingSample] = field(default_factory=deque)
    _waiting_bytes: int = 0  # of coded frames

    @property
    def waiting(self) -> int:
        """Number of samples that wait for their time."""
        return len(self._waiting)

    def losses(self) -> dict[str, int]:
        """Count what did not become a sample since the start, by what happened to it."""
        losses = {
            "packets lost": self.in_order.lost,
            "packets late or twice": self.in_order.late,
            "packets unreadable": self.unreadable + self.frames.malformed,
            "packets of others": self.source.foreign,
            "sender reports doubted": self.timing.clock.doubted,
            "samples without a time": self.untimed,
            **{f"stamps refused: {why}": count for why, count in self.guard.refused.items()},
        }
        if self.name in VIDEOS:
            losses["frames damaged"] = self.decoder.damaged
            losses["frames that build on damaged or missing ones"] = self.decoder.unreferenced
            losses["frames missing"] = self.decoder.missing
        return losses

    def opened(self, description: Description) -> None:
        """Start a new connection; counts go on, all else is forgotten. Raises StreamLost for an unknown video codec."""
        self.in_order = InOrder(lost=self.in_order.lost, late=self.in_order.late)
        self.timing.begin(description.clock_rate_hz)
        self.source.begin()
        self.guard.begin()
        self.description = description
        if self.name in VIDEOS:
            if description.encoding != "h264":
                raise StreamLost(f"the video is coded as {description.encoding}, expected h264")
            self.frames = FrameAssembler(malformed=self.frames.malformed)
            self.decoder.parameter_sets = parameter_sets(description)
            self.source.begin(description.payload_type)
        self.when_opened()

    def rtp(self, data: bytes) -> bool:
        """Take what arrived at the RTP port; return whether it was a packet of this stream. Raises StreamLost."""
        try:
            packet = parse_rtp(data, self.state.now_ns())
        except MalformedPacket as error:
            self._cannot_read(str(error))
            return False
        admitted = self.source.admit(packet)
        for ours in admitted:
            for ready, lost in self.in_order.push(ours):
                self._take(ready, lost)
        self._check_broken()
        return bool(admitted)

    def rtcp(self, data: bytes) -> bool:
        """Take what arrived at the RTCP port; return whether the sender said goodbye. Raises StreamLost."""
        try:
            parts = parse_rtcp(data)
        except MalformedPacket as error:
            self._cannot_read(str(error))
            return False
        for part in parts:
            if isinstance(part, SenderReport):
                self._take_report(part)
            elif self.source.has_left(part):
                return True
        self.pump()
        self._check_broken()
        return False

    def clock_was_set(self, step_ns: int) -> None:
        """Note that the phone's clock was set ahead by `step_ns`."""
        if abs(step_ns) < TINY_STEP_NS:
            return
        if self.name == "eye_events":
            self._settled_ns = self.state.steady_ns() + SETTLING_NS
            self.deliver(self.name, CLOCK_SET, 0, 0)
        else:
            self.timing.clock_was_set(step_ns)

    def closed(self) -> None:
        """End a connection: deliver what is complete, drop and count the rest."""
        for packet, lost in self.in_order.flush():
            self._take(packet, lost)
        if self.name in VIDEOS and (frame := self.frames.flush()) is not None:
            self._wait(frame.timestamp, frame.arrival_ns, frame.frames_missing, frame)
        self.pump()
        self._drop_waiting()
        self._deliver_pictures(self.decoder.flush())
        if self.name == "eye_events":
            self.deliver(self.name, EVENTS_MISSING, 0, 0)

    def pump(self) -> None:
        """Deliver the waiting samples whose time is known and beyond doubt."""
        while self._waiting and not self.timing.broken and self.state.is_sure():
            sample = self._waiting[0]
            if (time := self.timing.time(sample)) is None:
                return
            host_ns = self.state.clock.to_host_ns(time.device_ns)
            trouble = self.guard.trouble(host_ns, sample.arrival_ns)
            is_odd = time.is_jump or trouble is not None or self.guard.is_early(host_ns, sample.arrival_ns)
            if is_odd and not self.state.was_checked_for(sample.arrival_ns, is_refused=trouble is not None):
                self.state.doubt()
                return
            self._pop_waiting()
            if trouble is None:
                self.guard.accept(host_ns, sample.arrival_ns)
                self.timing.use(sample, time)
            else:
                self.guard.refuse(trouble)
                self.timing.skip()
            self._use(sample.content, time.device_ns, host_ns, trouble is None)

    def _take_report(self, report: SenderReport) -> None:
        if self.name == "imu" or not self.source.is_ours(report):  # motion carries its own time
            return
        off_ns = self.state.clock.to_host_ns(report.unix_ns) - self.state.now_ns()
        if not self.timing.take_report(report, is_live=abs(off_ns) <= self.guard.max_age_ns):
            self.state.doubt()  # the phone's clock may have been set

    def _check_broken(self) -> None:
        if self.timing.broken:
            raise StreamLost(self.timing.broken)

    def _use(self, content: Any, device_ns: int, host_ns: int, is_good: bool) -> None:
        if isinstance(content, CodedFrame):  # decoded even with a bad stamp: the next frames build on it
            self._deliver_pictures(self.decoder.decode(content, (device_ns, host_ns, is_good)))
        elif is_good:
            self.delivered += 1
            self.deliver(self.name, content.data if isinstance(content, Motion) else content, device_ns, host_ns)

    def _deliver_pictures(self, pictures: list[tuple[Any, tuple[int, int, bool]]]) -> None:
        for picture, (device_ns, host_ns, is_good) in pictures:
            if is_good:
                self.delivered += 1
                self.deliver(self.name, VideoFrame(picture, device_ns / 1e9), device_ns, host_ns)

    def _drop_waiting(self) -> None:
        if self._waiting:
            self.untimed += len(self._waiting)
            self._waiting.clear()
            self._waiting_bytes = 0
            self.decoder.break_off()

    def _take(self, packet: RtpPacket, lost_before: int) -> None:
        if self.name in VIDEOS:
            frame = self.frames.push(packet, lost_before)
            if frame is not None:
                self._wait(frame.timestamp, frame.arrival_ns, frame.frames_missing, frame)
            return
        if lost_before and self.name == "eye_events":
            self.deliver(self.name, EVENTS_MISSING, 0, 0)
        try:
            content = READERS[self.name](packet.payload)
        except UnreadableSample as error:
            self._cannot_read(str(error))
            return
        if self.name != "eye_events":
            self._wait(packet.timestamp, packet.arrival_ns, lost_before, content)
        elif content is not None:
            self._take_event(content, packet.arrival_ns)

    def _take_event(self, event: EyeEvent, arrival_ns: int) -> None:
        known_ns = self.state.clock.to_host_ns(event.known_ns)
        if self.state.steady_ns() < self._settled_ns:
            self.untimed += 1
        elif known_ns > arrival_ns + self.guard.max_future_ns:
            self.guard.refuse(FUTURE)
        elif known_ns < arrival_ns - LONGEST_EVENT_NS:
            self.guard.refuse(OLD)
        else:
            self.delivered += 1
            self.deliver(self.name, event, 0, 0)

    def _wait(self, timestamp: int, arrival_ns: int, missing: int, content: Any) -> None:
        now_ns = self.state.steady_ns()  # the host's clock may be set back meanwhile
        self._waiting.append(PendingSample(timestamp, arrival_ns, missing, content, now_ns))
        self._waiting_bytes += _bytes_of(content)
        while (
            now_ns - self._waiting[0].since_ns > self.hold_s * 1e9
            or len(self._waiting) > MAX_WAITING
            or self._waiting_bytes > MAX_WAITING_BYTES
        ):
            self._pop_waiting()
            self.untimed += 1
            self.decoder.break_off()
            if not self._waiting:
                break
        self.pump()

    def _pop_waiting(self) -> None:
        self._waiting_bytes -= _bytes_of(self._waiting.popleft().content)

    def _cannot_read(self, why: str) -> None:
        self.unreadable += 1
        self.last_unreadable = why


def _bytes_of(content: Any) -> int:
    return sum(map(len, content.units)) if isinstance(content, CodedFrame) else 0

"""One stream of the glasses, from packets to samples that are known to be right; the rest is counted. No sockets.

Packets are put in order, frames checked for being whole, and every sample is stamped and judged. A sample whose time is
not known yet, for want of a sender report or because a clock is in doubt, waits; if it waits too long it is dropped.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pupil_labs.realtime_api.streaming.video import VideoFrame

from gaze_vlm_ros.neon.clock_state import ClockState
from gaze_vlm_ros.neon.device_clock import FUTURE, OLD, StampGuard
from gaze_vlm_ros.neon.h264_rtp import CodedFrame, FrameAssembler
from gaze_vlm_ros.neon.rtp import (
    MAX_MISORDER,
    InOrder,
    Intervals,
    MalformedPacket,
    RtpClock,
    RtpPacket,
    SenderReport,
    parse_rtcp,
    parse_rtp,
    signed_difference,
)
from gaze_vlm_ros.neon.rtsp_client import Description, StreamLost
from gaze_vlm_ros.neon.samples import LONGEST_EVENT_NS, READERS, EyeEvent, Motion, UnreadableSample
from gaze_vlm_ros.neon.video_decoder import VideoDecoder

SOURCE_LOST_NS = 1_000_000_000  # another source may take over when the first has sent nothing for so long
# The phone's clock was set by less: it is being slewed, and stamps are off by no more than that for a moment.
TINY_STEP_NS = 20_000_000
# By less: a frame or two that the camera left out could look like it.
LARGE_STEP_NS = 250_000_000
SETTLING_NS = 2_000_000_000  # eye events that arrive so soon after a step may be from before

VIDEOS = ("world", "eyes")

# In place of an eye event: some may have been lost before the next; the phone's clock is another from now on.
EVENTS_MISSING, CLOCK_SET = "events missing", "clock set"


@dataclass
class _Waiting:
    timestamp: int  # RTP
    arrival_ns: int
    missing: int  # samples that were lost right before it
    content: Any  # what READERS give, or a CodedFrame
    is_step: bool = False  # between the last sample and this one the clock was set that stamps them


@dataclass
class NeonStream:
    """The receiving end of one stream over all its connections; a rtsp_client.PacketSink.

    `deliver(name, datum, device_ns, host_ns)` gets each good sample with its acquisition time on both clocks: one of
    the vendor's gaze formats, its IMUData or its VideoFrame, or a list of the access units of sound in a packet. An
    EyeEvent has times of its own; in its place may come EVENTS_MISSING or CLOCK_SET.
    """

    name: str  # "world", "gaze", "imu", "eyes", "audio", "eye_events"
    state: ClockState
    deliver: Callable[[str, Any, int, int], None]
    when_opened: Callable[[], None] = lambda: None  # its description is known
    hold_s: float = 10.0  # longest wait for a time: sender reports are seconds apart
    delivered: int = 0
    unreadable: int = 0  # packets, and samples in them, that cannot be read
    foreign: int = 0  # packets of another source or payload type
    untimed: int = 0  # samples whose time did not become known
    last_unreadable: str = ""
    guard: StampGuard = field(default_factory=StampGuard)
    in_order: InOrder = field(default_factory=InOrder)
    frames: FrameAssembler = field(default_factory=FrameAssembler)
    decoder: VideoDecoder[tuple[int, int, bool]] = field(default_factory=VideoDecoder)  # device, host ns; stamp is good
    clock: RtpClock = field(default_factory=lambda: RtpClock(90_000))
    intervals: Intervals = field(default_factory=Intervals)
    description: Description | None = None  # of the last connection
    _payload_type: int | None = None
    _ssrc: int | None = None
    _first: RtpPacket | None = None  # of a source that may become ours
    _report_ssrc: int | None = None
    _last_arrival_ns: int = 0
    _settled_ns: int = 0
    _time_ns: int = 0  # of the newest sample that was used, from the first one's, in the stream's own ticks
    _timestamp: int | None = None  # of that sample
    _steps: list[int] = field(default_factory=list)  # of the phone's clock that the stream has not shown yet, ns
    _broken: str = ""  # why nothing more can be stamped in this connection
    _waiting: deque[_Waiting] = field(default_factory=deque)

    @property
    def waiting(self) -> int:
        """Samples that wait for their time."""
        return len(self._waiting)

    def losses(self) -> dict[str, int]:
        """What did not become a sample since the start, by what happened to it."""
        losses = {
            "packets lost": self.in_order.lost,
            "packets late or twice": self.in_order.late,
            "packets unreadable": self.unreadable + self.frames.malformed,
            "packets of others": self.foreign,
            "sender reports doubted": self.clock.doubted,
            "samples without a time": self.untimed,
            **{f"stamps refused: {why}": count for why, count in self.guard.refused.items()},
        }
        if self.name in VIDEOS:
            losses["frames damaged"] = self.decoder.damaged
            losses["frames that build on damaged or missing ones"] = self.decoder.unreferenced
            losses["frames missing"] = self.decoder.missing
        return losses

    def opened(self, description: Description) -> None:
        """A new connection, with timestamps of its own: nothing of the one before holds. Raises StreamLost."""
        self.in_order = InOrder(lost=self.in_order.lost, late=self.in_order.late)
        self.clock = RtpClock(description.clock_rate_hz, doubted=self.clock.doubted)
        self.intervals = Intervals()
        self._ssrc = self._report_ssrc = self._payload_type = self._first = self._timestamp = None
        self._steps, self._broken = [], ""
        self.guard.begin()
        self.description = description
        if self.name in VIDEOS:
            if description.encoding != "h264":
                raise StreamLost(f"the video is coded as {description.encoding}, expected h264")
            self.frames = FrameAssembler(malformed=self.frames.malformed)
            self.decoder.parameter_sets = parameter_sets(description)
            self._payload_type = description.payload_type
        self.when_opened()

    def rtp(self, data: bytes) -> bool:
        """Take what arrived at the RTP port; whether it was a packet of this stream."""
        try:
            packet = parse_rtp(data, self.state.now_ns())
        except MalformedPacket as error:
            self._cannot_read(str(error))
            return False
        admitted = self._admit(packet)
        for ours in admitted:
            self._last_arrival_ns = ours.arrival_ns
            for ready, lost in self.in_order.push(ours):
                self._take(ready, lost)
        self._check_broken()
        return bool(admitted)

    def rtcp(self, data: bytes) -> bool:
        """Take what arrived at the RTCP port; whether the sender said goodbye."""
        try:
            parts = parse_rtcp(data)
        except MalformedPacket as error:
            self._cannot_read(str(error))
            return False
        for part in parts:
            if isinstance(part, SenderReport):
                self._take_report(part)
            elif self._ssrc in part.ssrcs:
                return True
        self.pump()
        self._check_broken()
        return False

    def clock_was_set(self, step_ns: int) -> None:
        """The phone's clock was set ahead by that much.

        The times of samples on their way are from before; those to come may follow the clock or not. So all are taken
        as from before until the stream itself shows the step: in the times of its samples, or in its sender reports.
        """
        if abs(step_ns) < TINY_STEP_NS:
            return
        if self.name == "eye_events":
            self._settled_ns = self.state.now_ns() + SETTLING_NS
            self.deliver(self.name, CLOCK_SET, 0, 0)
        elif self._timestamp is None:  # whether the first report is from before or after cannot be told
            self._broken = "the phone's clock was set before the first sample had a time"
        elif not self.clock.explain(step_ns):
            self._steps.append(step_ns)

    def closed(self) -> None:
        """The connection is gone: use what is complete, drop the rest."""
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
        """Deliver what waits, as far as its time is known and beyond doubt."""
        while self._waiting and not self._broken and self.state.is_sure():
            sample = self._waiting[0]
            own_ns = sample.content.device_ns if isinstance(sample.content, Motion) else None
            device_ns = self.clock.device_ns(sample.timestamp) if own_ns is None else own_ns
            if device_ns is None:
                return
            time_ns = self._stream_time_ns(sample.timestamp) if own_ns is None else own_ns
            is_jump = self._sees_jump(sample, time_ns)
            if self._broken:
                return
            device_ns += sum(self._steps)
            host_ns = self.state.clock.to_host_ns(device_ns)
            trouble = self.guard.trouble(host_ns, sample.arrival_ns)
            is_odd = is_jump or trouble is not None or self.guard.is_early(host_ns, sample.arrival_ns)
            if is_odd and not self.state.was_checked_for(sample.arrival_ns, is_refused=trouble is not None):
                self.state.doubt()
                return
            self._waiting.popleft()
            if trouble is None:
                self.guard.accept(host_ns, sample.arrival_ns)
                self.intervals.take(time_ns, is_regular=not (is_jump or sample.is_step or sample.missing))
                self._time_ns, self._timestamp = time_ns, sample.timestamp
            else:
                self.guard.refuse(trouble)
                self.intervals.skip()
            self._use(sample.content, device_ns, host_ns, trouble is None)

    def _stream_time_ns(self, timestamp: int) -> int:
        """A timestamp as time since the stream's first sample, through its wraps."""
        if self._timestamp is None:
            return 0
        ticks = signed_difference(timestamp, self._timestamp, 32)
        return self._time_ns + round(ticks * 1e9 / self.clock.rate_hz)

    def _sees_jump(self, sample: _Waiting, time_ns: int) -> bool:
        """Whether a sample's time is not where the last one's leads; a step that explains it is done with."""
        if sample.is_step:
            return False
        excess_ns = self.intervals.excess_ns(time_ns, sample.missing)
        usual_ns = self.intervals.usual_ns or 0.0
        for step_ns in self._steps:
            wide, narrow = 1.5 * usual_ns + 10_000_000, max(0.2 * usual_ns, 5_000_000)
            if abs(excess_ns - step_ns) <= (wide if abs(step_ns) >= LARGE_STEP_NS else narrow):
                self._steps.remove(step_ns)
                sample.is_step = True
                return False
        is_jump = self.intervals.is_jump(excess_ns)
        if is_jump and self._steps:
            self._broken = f"the phone's clock was set, and its samples jump by {excess_ns / 1e9:+.3f} s"
        return is_jump

    def _take_report(self, report: SenderReport) -> None:
        if self.name == "imu" or not self._is_our_report(report):  # motion brings its own time
            return
        shown_ns = self.clock.add(report, self._steps) if self._is_live(report) else None
        if shown_ns:
            self._steps.remove(shown_ns)
        elif shown_ns is None:
            self.state.doubt()  # the phone's clock may have been set
            if self.clock.contradicted:
                self._broken = "its sender reports contradict those before"

    def _check_broken(self) -> None:
        if self._broken:
            raise StreamLost(self._broken)

    def _use(self, content: Any, device_ns: int, host_ns: int, is_good: bool) -> None:
        if isinstance(content, CodedFrame):  # also with a bad stamp: the next frames build on it
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
        if arrival_ns < self._settled_ns:
            self.untimed += 1
        elif known_ns > arrival_ns + self.guard.max_future_ns:
            self.guard.refuse(FUTURE)
        elif known_ns < arrival_ns - LONGEST_EVENT_NS:
            self.guard.refuse(OLD)
        else:
            self.delivered += 1
            self.deliver(self.name, event, 0, 0)

    def _wait(self, timestamp: int, arrival_ns: int, missing: int, content: Any) -> None:
        self._waiting.append(_Waiting(timestamp, arrival_ns, missing, content))
        while arrival_ns - self._waiting[0].arrival_ns > self.hold_s * 1e9:
            self._waiting.popleft()
            self.untimed += 1
            self.decoder.break_off()
        self.pump()

    def _admit(self, packet: RtpPacket) -> list[RtpPacket]:
        """The packet, where it is of this stream; two of one source in sequence tell which source that is."""
        if self._payload_type not in (None, packet.payload_type):
            self.foreign += 1
            return []
        if self._ssrc is None:
            first, self._first = self._first, packet
            if first is None:
                return []
            ahead = (packet.sequence - first.sequence) & 0xFFFF
            if (first.ssrc, first.payload_type) != (packet.ssrc, packet.payload_type) or not 0 < ahead < MAX_MISORDER:
                self.foreign += 1
                return []
            self._ssrc, self._payload_type, self._first = packet.ssrc, packet.payload_type, None
            return [first, packet]
        if packet.ssrc != self._ssrc:
            if packet.arrival_ns - self._last_arrival_ns > SOURCE_LOST_NS:
                raise StreamLost("another source sends in its place")  # a new connection begins with a clean slate
            self.foreign += 1
            return []
        return [packet]

    def _is_our_report(self, report: SenderReport) -> bool:
        """Reports are of the packets' source; a sender that numbers them otherwise must at least keep to it."""
        if self._report_ssrc is None or report.ssrc == self._ssrc:
            self._report_ssrc = report.ssrc
        return report.ssrc == self._report_ssrc

    def _is_live(self, report: SenderReport) -> bool:
        """Whether its time is about now."""
        is_live = abs(self.state.clock.to_host_ns(report.unix_ns) - self.state.now_ns()) <= self.guard.max_age_ns
        self.clock.doubted += not is_live
        return is_live

    def _cannot_read(self, why: str) -> None:
        self.unreadable += 1
        self.last_unreadable = why


def sound_config(description: Description) -> bytes:
    """AudioSpecificConfig in the description of an AAC stream (RFC 3640 4.1); empty where it has none."""
    with contextlib.suppress(ValueError, TypeError):
        return bytes.fromhex(description.parameters.get("config", ""))
    return b""


def parameter_sets(description: Description) -> list[bytes]:
    """SPS and PPS in the description of an H.264 stream (RFC 6184 8.1); empty where it has none."""
    with contextlib.suppress(binascii.Error, AttributeError):
        texts = description.parameters.get("sprop-parameter-sets", "").split(",")
        return [unit for text in texts if (unit := base64.b64decode(text))]
    return []

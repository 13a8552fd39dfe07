"""One client's reception of one stream: its RTP packets and sender reports on the way out."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from gaze_vlm_ros.sim.neon_device import rtp
from gaze_vlm_ros.sim.neon_device.clock import PhoneClock
from gaze_vlm_ros.sim.neon_device.wire import ALL, Faults, Wire

# Seconds between sender reports: the first comes with PLAY, since no sample has a time before it; then as RFC 3550 6.2.
REPORT_INTERVALS_S = (0.5, 2.5, 5.0)
BURST_PACKETS = 16  # then a pause: a key frame is 100 packets, more than many receive buffers hold
BURST_PAUSE_S = 0.001


@dataclass
class Stream:
    """What one URL offers, and who receives it."""

    name: str  # of the URL's `camera=`
    media: str  # SDP media type
    encoding: str  # SDP rtpmap
    clock_rate_hz: int = 90_000
    payload_type: int = 96
    format_parameters: str = ""  # SDP fmtp
    sessions: list[MediaSession] = field(default_factory=list)
    samples_sent: int = 0
    packets_lost: int = 0  # on purpose
    sent: list[tuple[int, int]] = field(default_factory=list)  # (recorded stamp, acquisition on the host's clock), ns

    async def send(self, device_ns: int, payloads: list[bytes]) -> None:
        """Send one sample, cut into RTP payloads, to everyone who plays the stream."""
        self.samples_sent += 1
        for start in range(0, len(payloads), BURST_PACKETS):
            if start:
                await asyncio.sleep(BURST_PAUSE_S)
            for index in range(start, min(start + BURST_PACKETS, len(payloads))):
                for session in self.sessions:
                    session.send_rtp(device_ns, payloads[index], marker=index == len(payloads) - 1)


@dataclass
class MediaSession:
    """One client's SETUP of one stream."""

    stream: Stream
    clock: PhoneClock
    faults: Faults
    write_rtp: Callable[[bytes], None]
    write_rtcp: Callable[[bytes], None]
    transport_header: str = ""  # as answered to SETUP
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    ssrc: int = field(default_factory=lambda: secrets.randbits(32))
    sequence: int = field(default_factory=lambda: secrets.randbits(16))
    first_timestamp: int = field(default_factory=lambda: secrets.randbits(32))  # random as RFC 3550 5.1 asks
    epoch_ns: int = 0  # device time of first_timestamp
    packets: int = 0
    octets: int = 0
    reports: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.epoch_ns = self._sample_time_ns(self.clock.host_now_ns())
        if self.faults.wrap_after_s is not None:
            self.first_timestamp = (1 << 32) - round(self.faults.wrap_after_s * self.stream.clock_rate_hz)
        self.wire = Wire(self.faults, random.Random(f"{self.faults.seed} {self.stream.name}"))

    def _sample_time_ns(self, host_ns: int) -> int:
        """Stamp of a sample acquired at a moment of the host's clock."""
        clock = self.clock if self.faults.stamps_follow_clock else self.clock.steady
        return clock.device_ns(host_ns)

    def timestamp(self, device_ns: int) -> int:
        """Return the RTP timestamp of a moment of the device's clock."""
        ticks, half = (device_ns - self.epoch_ns) * self.stream.clock_rate_hz, 500_000_000
        return (self.first_timestamp + (ticks + half) // 1_000_000_000) & 0xFFFFFFFF

    def send_rtp(self, device_ns: int, payload: bytes, marker: bool) -> None:
        """Send the client one packet of a sample with this stamp, unless a fault loses it."""
        packet = rtp.rtp_packet(
            payload,
            payload_type=self.stream.payload_type,
            sequence=self.sequence,
            timestamp=self.timestamp(device_ns),
            ssrc=self.ssrc,
            marker=marker,
        )
        lost = self.wire.lost
        for leaving in self.wire.put(packet):
            self.write_rtp(leaving)
        self.stream.packets_lost += self.wire.lost - lost
        self.sequence += 1
        self.packets += 1
        self.octets += len(payload)

    def send_report(self) -> None:
        """Send the client a sender report of this moment."""
        if self.faults.silent & {ALL, self.stream.name}:
            return
        host_ns = self.clock.host_now_ns()  # read once: both times of a report are of one moment
        self.write_rtcp(
            rtp.sender_report(
                ssrc=self.ssrc,
                unix_ns=self.clock.device_ns(host_ns),
                rtp_timestamp=self.timestamp(self._sample_time_ns(host_ns)),
                packets=self.packets,
                octets=self.octets,
                cname=f"{self.stream.name}@neon",
            )
        )

    def play(self) -> None:
        """Start sending, with a sender report first: nothing has a time before it."""
        if self.reports is None:
            if not self.faults.report_delay_s:
                self.send_report()
            self.stream.sessions.append(self)
            self.reports = asyncio.get_running_loop().create_task(self._report_forever())

    async def _report_forever(self) -> None:
        interval = 0
        if self.faults.report_delay_s:
            await asyncio.sleep(self.faults.report_delay_s)
            self.send_report()
        while True:
            await asyncio.sleep(REPORT_INTERVALS_S[interval])
            interval = min(interval + 1, len(REPORT_INTERVALS_S) - 1)
            self.send_report()

    def end(self, goodbye: bool = True) -> None:
        """Stop sending, with an RTCP goodbye unless the connection is cut off."""
        if self.reports is not None:
            self.reports.cancel()
            self.stream.sessions.remove(self)
            self.reports = None
            if goodbye:
                self.write_rtcp(rtp.goodbye(self.ssrc))

"""Packets and reports of one simulated client, on clocks that never stand still."""

import itertools

from gaze_vlm_ros.neon.rtp import RtpClock, SenderReport, parse_rtcp, parse_rtp
from gaze_vlm_ros.sim.neon_device.clock import PhoneClock, SkewedClock
from gaze_vlm_ros.sim.neon_device.media_session import MediaSession, Stream
from gaze_vlm_ros.sim.neon_device.wire import Faults

HOST_NS = 1_700_000_000_000_000_000
MS = 1_000_000
TICK_NS = 1_000_000_000 / 90_000


def session(faults: Faults) -> tuple[MediaSession, list[bytes], list[bytes]]:
    """A session on a host that is so busy that 5 ms pass between any two looks at its clock."""
    readings = itertools.count(HOST_NS, 5 * MS)
    clock = PhoneClock(SkewedClock(3.2, 50.0, epoch_host_ns=HOST_NS), lambda: next(readings))
    packets: list[bytes] = []
    reports: list[bytes] = []
    return (
        MediaSession(Stream("gaze", "application", "x"), clock, faults, packets.append, reports.append),
        packets,
        reports,
    )


def test_a_busy_machine_puts_no_error_into_a_sender_report() -> None:
    """Stamps that a receiver derives from a report are right to a tick, however late the report was written."""
    made, packets, reports = session(Faults())
    made.send_report()
    (report,) = (part for part in parse_rtcp(reports[0]) if isinstance(part, SenderReport))
    receiver = RtpClock(90_000)
    receiver.add(report)
    device_ns = report.unix_ns + 1_234 * MS
    made.send_rtp(device_ns, b"abc", marker=True)
    received_ns = receiver.device_ns(parse_rtp(packets[0], 0).timestamp)
    assert received_ns is not None
    assert abs(received_ns - device_ns) <= TICK_NS


def test_samples_may_keep_their_time_scale_when_the_phones_clock_is_set() -> None:
    made, _, reports = session(Faults(stamps_follow_clock=False))
    made.send_report()
    made.clock.set_by(3.0)
    made.send_report()
    before, after = (part for report in reports for part in parse_rtcp(report) if isinstance(part, SenderReport))
    elapsed_ns = (after.timestamp - before.timestamp) % 2**32 * TICK_NS
    assert abs(after.unix_ns - before.unix_ns - elapsed_ns - 3_000 * MS) <= 2 * TICK_NS


def test_a_silent_stream_reports_nothing() -> None:
    made, _, reports = session(Faults(silent={"gaze"}))
    made.send_report()
    assert not reports

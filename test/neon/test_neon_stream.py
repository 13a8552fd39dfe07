"""One stream without a network or a wait: packets go in at chosen times, samples come out or are counted."""

import struct
from typing import Any

import pytest
from pupil_labs.neon_recording.timeseries.imu.imu_pb2 import ImuPacket

from gaze_vlm_ros.neon.clock_state import ClockState
from gaze_vlm_ros.neon.description import Description, parameter_sets
from gaze_vlm_ros.neon.device_clock import DeviceClock, OffsetEstimate
from gaze_vlm_ros.neon.packet_sink import StreamLost
from gaze_vlm_ros.neon.samples import (
    BLINK,
    FIXATION,
    SACCADE_ONSET,
    EyeEvent,
    UnreadableSample,
    read_eye_event,
    read_gaze,
    read_motion,
)
from gaze_vlm_ros.neon.stream import CLOCK_SET, EVENTS_MISSING, NeonStream
from gaze_vlm_ros.sim.neon_device import rtp

NOW_NS = 1_700_000_000_000_000_000
MS = 1_000_000
OFFSET_NS = -3_200 * MS  # host minus device
RATE_HZ = 90_000
SSRC = 0xABCD
EPOCH = 2**32 - 5 * RATE_HZ  # the RTP timestamp at NOW_NS: it wraps five seconds later
DELAY_NS = 40 * MS


class Bench:
    """A stream, the time, and a phone that sends to it."""

    def __init__(self, name: str = "gaze", **options: Any) -> None:
        self.host_ns = NOW_NS
        clock = DeviceClock()
        self.estimate(clock, OFFSET_NS)
        self.asked = 0
        self.state = ClockState(clock, lambda: self.host_ns, self._ask, steady_ns=lambda: self.host_ns - NOW_NS)
        self.state.checked(NOW_NS - 10_000 * MS, found_step=False)
        self.got: list[tuple[Any, int, int]] = []
        self.stream = NeonStream(name, self.state, lambda _, *sample: self.got.append(sample), **options)
        self.sequence = 65_530
        self.delay_ns = DELAY_NS
        self.open()

    def _ask(self) -> None:
        self.asked += 1

    def open(self, encoding: str = "com.pupillabs.gaze1") -> None:
        self.stream.opened(Description(encoding, RATE_HZ, 99, {}))

    def estimate(self, clock: DeviceClock, offset_ns: int) -> int:
        return clock.add(OffsetEstimate(self.host_ns - offset_ns, offset_ns, 100_000, 200_000, 40, 40))

    def check(self, offset_ns: int = OFFSET_NS) -> None:
        """What the client does when it was asked."""
        began_ns = self.host_ns
        step_ns = self.estimate(self.state.clock, offset_ns)
        self.state.checked(began_ns, found_step=step_ns != 0)
        if step_ns:
            self.stream.clock_was_set(-step_ns)
        self.stream.pump()

    def timestamp(self, at_ns: int) -> int:
        return (EPOCH + round((at_ns - NOW_NS) * RATE_HZ / 1e9)) % 2**32

    def report(self, at_ns: int | None = None, wrong_ns: int = 0, ssrc: int = SSRC) -> bool:
        """A sender report of `at_ns` on the host's clock arrives."""
        at_ns = self.host_ns if at_ns is None else at_ns
        unix_ns = at_ns - OFFSET_NS + wrong_ns
        data = rtp.sender_report(
            ssrc=ssrc, unix_ns=unix_ns, rtp_timestamp=self.timestamp(at_ns), packets=0, octets=0, cname="x"
        )
        return self.stream.rtcp(data)

    def send(self, at_ns: int, payload: bytes, *, stamp_error_ns: int = 0, ssrc: int = SSRC, kind: int = 99) -> bool:
        """A sample acquired at `at_ns` on the host's clock arrives after `delay_ns`."""
        self.host_ns = at_ns + self.delay_ns
        data = rtp.rtp_packet(
            payload,
            payload_type=kind,
            sequence=self.sequence,
            timestamp=self.timestamp(at_ns + stamp_error_ns),
            ssrc=ssrc,
            marker=True,
        )
        self.sequence += 1
        return self.stream.rtp(data)

    def send_gaze(self, numbers: range, **options: Any) -> None:
        """Samples 5 ms apart; x is the number."""
        for number in numbers:
            self.send(NOW_NS + number * 5 * MS, gaze(number), **options)

    def delivered(self) -> list[int]:
        """Numbers of the gaze samples that came out, each at its time on both clocks."""
        for _, device_ns, host_ns in self.got:
            assert abs(device_ns - (host_ns - OFFSET_NS)) < 0.02 * MS
        return self.numbers_at_their_time()

    def numbers_at_their_time(self) -> list[int]:
        """Numbers of the gaze samples that came out, each at its time on this host's clock."""
        numbers = [round(datum.x) for datum, _, _ in self.got]
        for number, (_, _, host_ns) in zip(numbers, self.got, strict=True):
            assert abs(host_ns - (NOW_NS + number * 5 * MS)) < 0.02 * MS, number
        return numbers

    def losses(self) -> dict[str, int]:
        return {what: count for what, count in self.stream.losses().items() if count}


def gaze(number: int) -> bytes:
    return struct.pack("!ffB", number, -1.5, 255)


def test_samples_come_out_at_their_time_across_the_wraps_of_sequence_and_timestamp() -> None:
    bench = Bench()
    bench.report()
    bench.send_gaze(range(2000))  # ten seconds
    assert bench.delivered() == list(range(2000))
    assert not bench.losses()


def test_samples_wait_for_the_first_report() -> None:
    bench = Bench(hold_s=5.0)
    bench.send_gaze(range(900))
    assert bench.got == []
    assert bench.stream.waiting == 900
    bench.report()
    assert bench.delivered() == list(range(900))


def test_samples_that_wait_too_long_are_dropped_and_counted() -> None:
    bench = Bench(hold_s=1.0)
    bench.send_gaze(range(300))
    assert bench.losses() == {"samples without a time": 99}
    bench.report()
    assert bench.delivered() == list(range(99, 300))
    bench.stream.closed()
    assert bench.losses() == {"samples without a time": 99}


def test_what_waits_when_the_connection_ends_is_counted() -> None:
    bench = Bench()
    bench.send_gaze(range(10))
    bench.stream.closed()
    assert bench.losses() == {"samples without a time": 10}
    assert bench.got == []


def test_a_new_connection_forgets_the_time_of_the_one_before() -> None:
    """Its timestamps begin anywhere: with the old report they would be hours off."""
    bench = Bench()
    bench.report()
    bench.send_gaze(range(10))
    bench.stream.closed()
    bench.open()
    bench.timestamp = lambda at_ns: (12345 + round((at_ns - NOW_NS) * RATE_HZ / 1e9)) % 2**32  # type: ignore[method-assign]
    bench.send_gaze(range(10, 20))
    assert len(bench.got) == 10
    bench.report()
    assert bench.delivered() == list(range(20))


@pytest.mark.parametrize("error_s", [100.0, -100.0, 0.2, -0.2])
def test_an_impossible_stamp_is_refused_after_the_clock_was_looked_at(error_s: float) -> None:
    bench = Bench()
    bench.report()
    bench.send_gaze(range(10))
    bench.send_gaze(range(10, 11), stamp_error_ns=round(error_s * 1e9))
    bench.send_gaze(range(11, 20))
    assert (len(bench.got), bench.asked) == (10, 1)  # the others wait for the clock
    bench.check()
    assert bench.delivered() == [*range(10), *range(11, 20)]
    assert sum(bench.losses().values()) == 1


def test_a_tracker_that_is_always_wrong_does_not_hold_itself_up() -> None:
    """Checks that find nothing come ever more rarely."""
    bench = Bench()
    bench.report()
    for first in range(0, 2000, 10):
        bench.send_gaze(range(first, first + 9))
        bench.send_gaze(range(first + 9, first + 10), stamp_error_ns=100 * 10**9)
        if bench.state.doubted:
            bench.check()
    assert bench.delivered() == [number for number in range(2000) if number % 10 != 9]
    assert bench.losses() == {"stamps refused: future": 200}
    assert bench.asked < 10


STEPS_S = [3.0, -3.0, 0.2, -0.2, 0.04, -0.04]


@pytest.mark.parametrize("step_s", STEPS_S)
@pytest.mark.parametrize("delay_ms", [40, 3_100])
def test_the_phones_clock_is_set_and_stamps_with_it(step_s: float, delay_ms: int) -> None:
    """Nothing is lost, nor waits for a report; also where the network delays so much that it could explain the step."""
    step_ns = round(step_s * 1e9)
    bench = Bench()
    bench.report()
    bench.send_gaze(range(10))
    bench.delay_ns = delay_ms * MS
    bench.send_gaze(range(10, 20))
    bench.send_gaze(range(20, 30), stamp_error_ns=step_ns)
    bench.check(OFFSET_NS - step_ns)
    bench.send_gaze(range(30, 40), stamp_error_ns=step_ns)
    bench.report(bench.host_ns + step_ns)
    bench.send_gaze(range(40, 50), stamp_error_ns=step_ns)
    bench.check(OFFSET_NS - step_ns)
    assert bench.numbers_at_their_time() == list(range(50))
    assert not bench.losses()


@pytest.mark.parametrize("step_s", STEPS_S)
def test_the_step_may_be_known_before_the_stream_shows_it(step_s: float) -> None:
    """What is under way then still is from before."""
    step_ns = round(step_s * 1e9)
    bench = Bench()
    bench.report()
    bench.send_gaze(range(10))
    bench.check(OFFSET_NS - step_ns)
    bench.send_gaze(range(10, 20))
    bench.send_gaze(range(20, 30), stamp_error_ns=step_ns)
    bench.check(OFFSET_NS - step_ns)
    bench.send_gaze(range(30, 40), stamp_error_ns=step_ns)
    assert bench.numbers_at_their_time() == list(range(40))


@pytest.mark.parametrize("step_s", STEPS_S)
@pytest.mark.parametrize("report_first", [True, False])
def test_only_the_reports_may_show_it(step_s: float, report_first: bool) -> None:
    """Samples keep their time scale, which the next report then carries to the new clock."""
    step_ns = round(step_s * 1e9)
    bench = Bench()
    bench.report()
    bench.send_gaze(range(10))
    if report_first:
        bench.report(wrong_ns=step_ns)
    bench.send_gaze(range(10, 20))
    bench.check(OFFSET_NS - step_ns)
    bench.send_gaze(range(20, 30))
    bench.report(wrong_ns=step_ns)
    bench.send_gaze(range(30, 40))
    bench.check(OFFSET_NS - step_ns)
    assert bench.numbers_at_their_time() == list(range(40))


def test_the_streams_may_take_no_notice() -> None:
    """Neither samples nor reports follow the clock that answers time echoes."""
    bench = Bench()
    bench.report()
    bench.send_gaze(range(10))
    bench.check(OFFSET_NS - 3_000 * MS)
    bench.send_gaze(range(10, 2000))
    bench.report()
    bench.send_gaze(range(2000, 2010))
    assert bench.numbers_at_their_time() == list(range(2010))


def test_a_jump_that_the_step_does_not_explain_ends_the_connection() -> None:
    """As when samples are lost just then in a way that cannot be seen: a new one knows what holds."""
    bench = Bench()
    bench.report()
    bench.send_gaze(range(10))
    bench.check(OFFSET_NS - 3_000 * MS)
    with pytest.raises(StreamLost, match=r"the phone's clock was set, and its samples jump by \+3\.5"):
        bench.send_gaze(range(110, 111), stamp_error_ns=3_000 * MS)
    assert bench.numbers_at_their_time() == list(range(10))


def test_a_step_before_the_first_report_ends_the_connection() -> None:
    bench = Bench()
    bench.send_gaze(range(10))
    bench.check(OFFSET_NS - 3_000 * MS)
    with pytest.raises(StreamLost, match="before the first sample had a time"):
        bench.send_gaze(range(10, 11))


def test_reports_that_contradict_those_before_end_the_connection() -> None:
    bench = Bench()
    bench.report()
    bench.report(wrong_ns=5_000 * MS)
    with pytest.raises(StreamLost, match="contradict"):
        bench.report(wrong_ns=5_000 * MS)


def test_a_report_that_contradicts_makes_the_clock_doubtful() -> None:
    bench = Bench()
    bench.report()
    bench.send_gaze(range(10))
    bench.report(wrong_ns=2_000 * MS)
    bench.send_gaze(range(10, 20))
    assert (len(bench.got), bench.asked) == (10, 1)
    bench.check()  # the clock is what it was: the report was wrong
    bench.send_gaze(range(20, 30))
    assert bench.delivered() == list(range(30))
    assert bench.losses() == {"sender reports doubted": 1}


def test_a_report_of_another_time_is_not_believed_even_as_the_first() -> None:
    bench = Bench()
    bench.report(wrong_ns=-NOW_NS)  # 1970, as of a clock that has not been set yet
    bench.send_gaze(range(10))
    assert bench.asked
    bench.check()
    assert bench.got == []
    bench.report()
    assert bench.delivered() == list(range(10))
    assert bench.losses() == {"sender reports doubted": 1}


def test_this_hosts_clock_was_set() -> None:
    bench = Bench()
    bench.report()
    bench.send_gaze(range(10))
    bench.state.steady_ns = lambda: bench.host_ns - NOW_NS - 3_000 * MS
    bench.send_gaze(range(10, 20))
    assert (len(bench.got), bench.asked) == (10, 1)


def test_packets_of_another_source_or_type_are_not_ours() -> None:
    bench = Bench()
    bench.send(NOW_NS - 5 * MS, gaze(99), ssrc=5)  # before it is known who is ours
    bench.sequence = 65_530
    bench.report()
    bench.send_gaze(range(10))
    for options in ({"ssrc": 5}, {"kind": 98}):
        sequence = bench.sequence
        assert not bench.send(NOW_NS + 50 * MS, gaze(77), **options)  # type: ignore[arg-type]
        bench.sequence = sequence
    bench.send_gaze(range(10, 20))
    assert bench.delivered() == list(range(20))
    assert bench.losses() == {"packets of others": 3}


def test_another_source_in_its_place_needs_a_new_connection() -> None:
    bench = Bench()
    bench.report()
    bench.send_gaze(range(10))
    with pytest.raises(StreamLost, match="another source"):
        bench.send(NOW_NS + 2_000 * MS, gaze(500), ssrc=5)


def test_goodbyes_and_reports_of_others_mean_nothing() -> None:
    bench = Bench()
    bench.report()
    bench.send_gaze(range(10))
    bench.report(wrong_ns=5_000 * MS, ssrc=5)
    bench.send_gaze(range(10, 20))
    assert bench.delivered() == list(range(20))
    assert not bench.stream.rtcp(rtp.goodbye(5))
    assert bench.stream.rtcp(rtp.goodbye(SSRC))


def test_video_that_is_not_h264_is_refused() -> None:
    bench = Bench()
    bench.stream = NeonStream("world", bench.state, lambda *_: None)
    with pytest.raises(StreamLost, match="coded as h265, expected h264"):
        bench.open("h265")


def test_parameter_sets_of_the_description() -> None:
    described = Description("h264", RATE_HZ, 96, {"sprop-parameter-sets": "Z0LAHtoCgPaEAAADAAQAAAMA8DxYuSA=,aM4yyA=="})
    sps, pps = parameter_sets(described)
    assert (sps[0] & 0x1F, pps[0] & 0x1F) == (7, 8)
    for strange in ({}, {"sprop-parameter-sets": "?"}, {"sprop-parameter-sets": ""}, {"sprop-parameter-sets": None}):
        assert parameter_sets(Description("h264", RATE_HZ, 96, strange)) == []


def motion(**changes: float) -> bytes:
    packet = ImuPacket(tsNs=NOW_NS - OFFSET_NS)
    packet.accelData.z, packet.gyroData.x, packet.rotVecData.w = 1.0, 2.0, 1.0
    for name, value in changes.items():
        setattr(packet.accelData, name, value)
    return bytes(packet.SerializeToString())


def test_motion_has_its_own_time() -> None:
    bench = Bench("imu")
    bench.send(NOW_NS, motion())
    bench.send(NOW_NS + 10 * MS, motion())  # the same once more
    bench.check()
    assert [(datum.gyro_data.x, device_ns, host_ns) for datum, device_ns, host_ns in bench.got] == [
        (2.0, NOW_NS - OFFSET_NS, NOW_NS)
    ]
    assert bench.losses() == {"stamps refused: backwards": 1}


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "0 bytes"),
        (bytes(8), "8 bytes"),
        (bytes(10), "10 bytes"),
        (bytes(17), "separate gaze for each eye"),
        (struct.pack("!ffB", 1e30, 0, 255), "1e\\+30"),
        (struct.pack("!ffB", 0, -float("inf"), 255), "-inf"),
    ],
)
def test_payloads_that_are_no_gaze(payload: bytes, why: str) -> None:
    with pytest.raises(UnreadableSample, match=why):
        read_gaze(payload)


@pytest.mark.parametrize("length", [9, 25, 65, 89, 105])
def test_gaze_formats(length: int) -> None:
    sample = read_gaze(struct.pack("!ffB", 12.5, -3.0, 255) + bytes(length - 9))
    assert (sample.x, sample.y, sample.worn) == (12.5, -3.0, True)


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff\xff", motion()[:-3], bytes(ImuPacket(tsNs=5).SerializeToString()), motion(x=float("nan"))],
)
def test_payloads_that_are_no_motion(payload: bytes) -> None:
    with pytest.raises(UnreadableSample):
        read_motion(payload)


def test_eye_events() -> None:
    assert read_eye_event(struct.pack("!i", 5)) is None
    assert read_eye_event(struct.pack("!iq", 2, 7)) == EyeEvent(SACCADE_ONSET, 7, None)
    assert read_eye_event(struct.pack("!iqq", 4, 7, 9)) == EyeEvent(BLINK, 7, 9)
    assert read_eye_event(struct.pack("!iqq10f", 1, 7, 9, *range(10))) == EyeEvent(FIXATION, 7, 9)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        struct.pack("!i", 6),
        struct.pack("!i", -1),
        struct.pack("!iq", 4, 7),  # a blink without an end
        struct.pack("!iqq", 4, 9, 7),  # that ends before it begins
        struct.pack("!iqq", 4, 0, 10**12),  # of a thousand seconds
    ],
)
def test_payloads_that_are_no_eye_event(payload: bytes) -> None:
    with pytest.raises(UnreadableSample):
        read_eye_event(payload)


def test_eye_events_are_judged_and_gaps_in_them_said() -> None:
    bench = Bench("eye_events")
    device_ns = NOW_NS - OFFSET_NS

    def send(payload: bytes) -> None:
        bench.send(bench.host_ns, payload)

    send(struct.pack("!i", 5))
    send(struct.pack("!iq", 3, device_ns))
    send(struct.pack("!iq", 3, device_ns + 10_000 * MS))  # it begins in ten seconds
    send(struct.pack("!iq", 3, device_ns - 100_000 * MS))
    bench.sequence += 1  # lost
    send(struct.pack("!iqq", 4, device_ns, device_ns + 1))
    bench.host_ns += 100 * MS
    send(struct.pack("!i", 5))
    assert [datum for datum, _, _ in bench.got] == [
        EyeEvent(3, device_ns, None),
        EVENTS_MISSING,
        EyeEvent(4, device_ns, device_ns + 1),
    ]
    assert bench.losses() == {"packets lost": 1, "stamps refused: future": 1, "stamps refused: old": 1}
    bench.check(OFFSET_NS - 500 * MS)
    assert bench.got[-1][0] == CLOCK_SET
    bench.stream.closed()
    assert bench.got[-1][0] == EVENTS_MISSING

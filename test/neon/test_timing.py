"""Times of a stream's samples on the phone's clock, before, while and after it is set."""

import pytest

from gaze_vlm_ros.neon.rtp import SenderReport
from gaze_vlm_ros.neon.samples import Motion
from gaze_vlm_ros.neon.timing import PendingSample, SampleTime, StreamTiming

NOW_NS = 1_700_000_000_000_000_000
MS = 1_000_000
RATE_HZ = 90_000
TICKS = 450  # of 5 ms
STEP_NS = 3_000 * MS


def sample(number: int, ahead_ns: int = 0, missing: int = 0, content: object = "gaze") -> PendingSample:
    """The sample 5 ms times `number` after the first; `ahead_ns`: how far its stamp is ahead."""
    ticks = number * TICKS + ahead_ns * RATE_HZ // 1_000_000_000
    return PendingSample(ticks & 0xFFFFFFFF, 0, missing, content)


def report(number: int, ahead_ns: int = 0) -> SenderReport:
    return SenderReport(1, NOW_NS + number * 5 * MS + ahead_ns, number * TICKS)


def begun(samples: int = 10) -> StreamTiming:
    """A connection with a report and so many samples."""
    timing = StreamTiming()
    timing.begin(RATE_HZ)
    assert timing.take_report(report(0), is_live=True)
    for number in range(samples):
        use(timing, sample(number))
    return timing


def use(timing: StreamTiming, pending: PendingSample) -> SampleTime:
    time = timing.time(pending)
    assert time is not None, timing.broken
    timing.use(pending, time)
    return time


def test_no_time_before_the_first_report() -> None:
    timing = StreamTiming()
    timing.begin(RATE_HZ)
    assert timing.time(sample(0)) is None
    timing.take_report(report(0), is_live=True)
    assert timing.time(sample(3)) == SampleTime(NOW_NS + 15 * MS, 0, False)


def test_a_report_of_another_time_is_not_believed() -> None:
    timing = StreamTiming()
    timing.begin(RATE_HZ)
    assert not timing.take_report(report(0), is_live=False)
    assert (timing.time(sample(0)), timing.clock.doubted) == (None, 1)


def test_motion_brings_its_own_time() -> None:
    timing = StreamTiming()
    timing.begin(RATE_HZ)
    assert timing.time(sample(0, content=Motion(None, 77))) == SampleTime(77, 77, False)


@pytest.mark.parametrize(("missing", "is_jump"), [(0, True), (9, False)])
def test_a_gap_is_a_jump_unless_as_many_samples_are_missing(missing: int, is_jump: bool) -> None:
    assert use(begun(), sample(19, missing=missing)).is_jump is is_jump


def test_refused_samples_leave_a_gap_that_is_no_jump() -> None:
    timing = begun()
    for _ in range(9):
        timing.skip()
    assert not use(timing, sample(19)).is_jump


def test_samples_count_as_taken_before_a_step_until_they_show_it() -> None:
    timing = begun()
    timing.clock_was_set(STEP_NS)
    before = use(timing, sample(10))
    assert before == SampleTime(NOW_NS + 50 * MS + STEP_NS, 50 * MS, False)  # the same moment, on the new clock
    after = use(timing, sample(11, ahead_ns=STEP_NS))
    assert (after.device_ns, after.is_jump) == (NOW_NS + 55 * MS + STEP_NS, False)
    assert use(timing, sample(12, ahead_ns=STEP_NS)).device_ns == NOW_NS + 60 * MS + STEP_NS


def test_the_next_report_may_show_the_step_instead() -> None:
    timing = begun()
    timing.clock_was_set(STEP_NS)
    assert timing.take_report(report(10, ahead_ns=STEP_NS), is_live=True)
    assert use(timing, sample(10)).device_ns == NOW_NS + 50 * MS + STEP_NS


def test_a_step_explains_a_report_that_was_not_believed() -> None:
    timing = begun()
    assert not timing.take_report(report(10, ahead_ns=STEP_NS), is_live=True)
    timing.clock_was_set(STEP_NS)
    assert use(timing, sample(10)).device_ns == NOW_NS + 50 * MS + STEP_NS


def test_a_jump_that_no_pending_step_explains_ends_the_connection() -> None:
    timing = begun()
    timing.clock_was_set(STEP_NS)
    assert timing.time(sample(110, ahead_ns=STEP_NS)) is None
    assert timing.broken == "the phone's clock was set, and its samples jump by +3.500 s"
    timing.begin(RATE_HZ)
    assert timing.broken == ""


def test_a_step_before_the_first_sample_ends_the_connection() -> None:
    timing = StreamTiming()
    timing.begin(RATE_HZ)
    timing.clock_was_set(STEP_NS)
    assert "before the first sample had a time" in timing.broken


def test_reports_that_agree_against_the_one_before_end_the_connection() -> None:
    timing = begun()
    assert not timing.take_report(report(10, ahead_ns=STEP_NS), is_live=True)
    assert not timing.take_report(report(20, ahead_ns=STEP_NS), is_live=True)
    assert timing.broken == "its sender reports contradict those before"


def test_doubted_reports_are_counted_over_all_connections() -> None:
    timing = begun()
    timing.take_report(report(10, ahead_ns=STEP_NS), is_live=True)
    timing.begin(RATE_HZ)
    assert timing.clock.doubted == 1

"""Offset estimation against clocks whose truth is known."""

import numpy as np
import pytest

from gaze_vlm_ros.neon.device_clock import (
    BACKWARDS,
    FUTURE,
    OLD,
    DeviceClock,
    OffsetEstimate,
    StampGuard,
    TimeEcho,
    estimate_offset,
)

HOST_NS = 1_700_000_000_123_456_789
MS = 1_000_000


def echoes(offset_ns: int, forth_ns: np.ndarray, back_ns: np.ndarray, start_ns: int = HOST_NS) -> list[TimeEcho]:
    """Echoes 2.3 ms apart with the given one-way delays; offset = host minus device."""
    made = []
    for index, (forth, back) in enumerate(zip(forth_ns.tolist(), back_ns.tolist(), strict=True)):
        sent = start_ns + index * 2_300_000
        made.append(TimeEcho(sent, sent + forth + back, (sent + forth - offset_ns) // MS))
    return made


@pytest.mark.parametrize("offset_ns", [0, -3_200_000_000, 7_654_321])
def test_offset_is_within_its_bound_though_the_device_has_whole_milliseconds(offset_ns: int) -> None:
    random = np.random.default_rng(1)
    estimate = estimate_offset(
        echoes(offset_ns, random.integers(50_000, 90_000, 40), random.integers(50_000, 90_000, 40))
    )
    assert estimate is not None
    assert abs(estimate.offset_ns - offset_ns) <= estimate.uncertainty_ns <= 150_000
    assert estimate.agreeing == estimate.echoes == 40


def test_bound_holds_when_one_way_takes_much_longer() -> None:
    random = np.random.default_rng(2)
    forth, back = random.integers(100_000, 200_000, 40), random.integers(4_000_000, 9_000_000, 40)
    estimate = estimate_offset(echoes(5 * MS, forth, back))
    assert estimate is not None
    assert abs(estimate.offset_ns - 5 * MS) <= estimate.uncertainty_ns
    assert estimate.round_trip_ns == (forth + back).min()


def test_a_few_echoes_of_another_time_are_outvoted() -> None:
    steady = np.full(30, 60_000)
    mixed = echoes(MS, steady, steady) + echoes(90 * MS, steady[:8], steady[:8])
    estimate = estimate_offset(mixed)
    assert estimate is not None
    assert abs(estimate.offset_ns - MS) <= estimate.uncertainty_ns
    assert estimate.agreeing == 30


def test_no_estimate_from_a_clock_that_keeps_changing() -> None:
    one = np.full(1, 60_000)
    assert estimate_offset([echoes(k * 100 * MS, one, one)[0] for k in range(6)]) is None
    assert estimate_offset([]) is None
    assert estimate_offset([TimeEcho(HOST_NS, HOST_NS - 1, 0)]) is None


def follow(clock: DeviceClock, drift_ppm: float, seconds: range, noise_ns: float = 0.0, step_ns: int = 0) -> None:
    """Feed estimates every few seconds of a device that runs `drift_ppm` fast."""
    random = np.random.default_rng(3)
    for second in seconds:
        offset = -3_200 * MS - second * drift_ppm * 1e3 + step_ns + random.uniform(-noise_ns, noise_ns)
        clock.add(OffsetEstimate(HOST_NS + second * 1_000 * MS, round(offset), 150_000, 200_000, 40, 40))


def test_drift_is_found_and_extrapolated() -> None:
    clock = DeviceClock()
    follow(clock, 50.0, range(0, 300, 5), noise_ns=100_000)
    assert clock.drift_ppm == pytest.approx(50.0, abs=1.0)
    later_ns = HOST_NS + 320 * 1_000 * MS
    assert clock.to_host_ns(later_ns) - later_ns == pytest.approx(-3_200 * MS - 320 * 50 * 1e3, abs=100_000)
    assert clock.steps == 0


def test_short_history_gives_the_newest_offset_and_no_drift() -> None:
    clock = DeviceClock()
    follow(clock, 50.0, range(0, 15, 5))
    assert clock.drift_ppm == 0
    assert clock.offset_ns(HOST_NS) == -3_200 * MS - 500_000


def test_an_uncertain_estimate_does_not_replace_a_certain_one() -> None:
    """As when the network is busy; until the certain one is so old that drift makes it no better."""
    clock = DeviceClock()
    certain, uncertain = 150_000, 5 * MS
    clock.add(OffsetEstimate(HOST_NS, 1_000 * MS, certain, 200_000, 40, 40))
    clock.add(OffsetEstimate(HOST_NS + 5_000 * MS, 1_004 * MS, uncertain, 200_000, 40, 40))
    assert clock.offset_ns(HOST_NS + 5_000 * MS) == 1_000 * MS
    clock = DeviceClock(min_drift_span_s=60.0)
    clock.add(OffsetEstimate(HOST_NS, 1_000 * MS, certain, 200_000, 40, 40))
    clock.add(OffsetEstimate(HOST_NS + 50_000 * MS, 1_004 * MS, uncertain, 200_000, 40, 40))
    assert clock.offset_ns(HOST_NS + 50_000 * MS) == 1_004 * MS


def test_a_set_clock_is_a_step_that_forgets_what_was_before() -> None:
    clock = DeviceClock()
    follow(clock, 0.0, range(0, 60, 5))
    follow(clock, 0.0, range(60, 65, 5), step_ns=300 * MS)
    assert clock.steps == 1
    assert clock.offset_ns(HOST_NS + 61_000 * MS) == -2_900 * MS
    assert clock.latest is not None


def test_no_stamp_before_the_first_estimate() -> None:
    with pytest.raises(LookupError, match="not been estimated"):
        DeviceClock().to_host_ns(HOST_NS)


def test_impossible_stamps_are_refused_and_counted() -> None:
    guard = StampGuard()
    wrap_ns = 2**32 * 1_000_000_000 // 90_000  # what a wrapped RTP timestamp loses
    guard.begin()
    assert guard.trouble(HOST_NS - 40 * MS, HOST_NS) is None
    guard.accept(HOST_NS - 40 * MS, HOST_NS)
    for stamp_ns, why in {
        HOST_NS + 1 * MS: None,
        HOST_NS - wrap_ns: OLD,
        HOST_NS + 51 * MS: FUTURE,
        HOST_NS + 3_200 * MS: FUTURE,
        HOST_NS - 40 * MS: BACKWARDS,  # the same once more
        HOST_NS - 45 * MS: BACKWARDS,
    }.items():
        assert guard.trouble(stamp_ns, HOST_NS) == why
        if why:
            guard.refuse(why)
    assert guard.refused == {FUTURE: 2, OLD: 1, BACKWARDS: 2}


def test_samples_may_come_late_only_once_the_stream_was_live() -> None:
    guard = StampGuard()
    guard.begin()
    assert guard.trouble(HOST_NS - 1_001 * MS, HOST_NS) == OLD
    guard.accept(HOST_NS - 30 * MS, HOST_NS)
    later_ns = HOST_NS + 9_000 * MS
    assert guard.trouble(HOST_NS, later_ns) is None  # a network that stalled for nine seconds
    guard.begin()  # a clock was set
    assert guard.trouble(HOST_NS, later_ns) == OLD
    assert guard.trouble(later_ns - 40 * MS, later_ns) is None


def test_a_sample_that_comes_sooner_than_any_before_is_early() -> None:
    guard = StampGuard()
    assert not guard.is_early(HOST_NS, HOST_NS)
    guard.accept(HOST_NS - 60 * MS, HOST_NS)
    assert not guard.is_early(HOST_NS - 56 * MS, HOST_NS)
    assert guard.is_early(HOST_NS - 54 * MS, HOST_NS)


def test_order_is_forgotten_when_this_hosts_clock_was_set() -> None:
    guard = StampGuard()
    guard.accept(HOST_NS, HOST_NS)
    assert guard.trouble(HOST_NS - 5 * MS, HOST_NS) == BACKWARDS
    guard.forget_order()
    assert guard.trouble(HOST_NS - 5 * MS, HOST_NS) is None

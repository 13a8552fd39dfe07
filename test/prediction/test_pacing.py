"""When the model is asked, over cameras of several rates."""

import math

import numpy as np
import pytest

from gaze_vlm_ros.prediction.pacing import next_due


def asked(arrivals_s: np.ndarray, rate_hz: float, busy_s: float = 0.0) -> list[float]:
    """The arrivals about which a model is asked that takes `busy_s` for an answer."""
    times, due, free = [], -math.inf, -math.inf
    for now in arrivals_s.tolist():
        if now >= free and (following := next_due(now, due, 1 / rate_hz)) is not None:
            times.append(now)
            due, free = following, now + busy_s
    return times


def camera(rate_hz: float, seconds: float = 20.0) -> np.ndarray:
    jitter = np.random.default_rng(0).uniform(-0.2, 0.2, round(rate_hz * seconds))
    return (np.arange(len(jitter)) + jitter) / rate_hz


@pytest.mark.parametrize("rate_hz", [5.0, 10.0, 30.0])
def test_a_camera_of_just_the_rate_has_each_frame_answered(rate_hz: float) -> None:
    frames = camera(rate_hz)
    assert asked(frames, rate_hz) == frames.tolist()


@pytest.mark.parametrize(("camera_hz", "rate_hz"), [(30.0, 5.0), (30.0, 7.0), (10.0, 3.0), (25.0, 20.0)])
def test_of_a_faster_one_so_many_as_the_rate_says(camera_hz: float, rate_hz: float) -> None:
    times = asked(camera(camera_hz), rate_hz)
    assert len(times) == pytest.approx(20.0 * rate_hz, abs=1)
    # A frame has to come first: steady but for one of them and its jitter, once begun.
    assert np.abs(np.diff(times[1:]) - 1 / rate_hz).max() <= 1.4 / camera_hz


def test_what_a_slow_model_has_missed_is_not_made_up_for() -> None:
    frames = camera(100.0)
    times = asked(frames, rate_hz=10.0, busy_s=0.25)
    assert len(times) == pytest.approx(20.0 / 0.25, rel=0.05)
    # It is free again after ten seconds of that: no burst, the steady rate.
    late = [now for now in frames.tolist() if now > times[-1]]
    assert len(asked(np.array(late[:100]), 10.0)) <= 11


def test_one_that_pauses_goes_on_at_the_rate() -> None:
    frames = camera(30.0)
    times = np.array(asked(frames[(frames < 5) | (frames > 15)], 10.0))
    assert np.count_nonzero((times > 15) & (times < 16)) <= 11

"""Fixations and their statistics, of a track whose numbers are known."""

import numpy as np
import pytest

from gaze_vlm_ros.assessment.looks import look_statistics, looks_of
from gaze_vlm_ros.session.gaze_track import GazeTrack

SIZE = (640, 480)
FIXATION, SACCADE, BLINK = 1, 2, 3


def track(states: list[int], x: list[float], step_ms: int = 10) -> GazeTrack:
    count = len(states)
    xy = np.column_stack([np.array(x, float), np.full(count, 100.0)])
    stamps_ns = np.arange(count, dtype=np.int64) * step_ms * 1_000_000
    return GazeTrack(stamps_ns, xy, np.ones(count), np.full(count, 2, np.uint8), np.array(states, np.uint8), SIZE)


def test_looks_are_the_trackers_fixations_with_their_places_and_durations() -> None:
    gaze = track([FIXATION] * 5 + [SACCADE] * 2 + [FIXATION] * 4, [100] * 5 + [150, 200] + [228] * 4)
    looks = looks_of(gaze, SIZE)
    np.testing.assert_array_equal(looks.xy, [[100, 100], [228, 100]])
    np.testing.assert_allclose(looks.durations_s, [0.04, 0.03])
    assert looks.starts_ns.tolist() == [0, 70_000_000]


def test_a_gap_a_loss_and_a_doubtful_sample_end_a_look() -> None:
    gaze = track([FIXATION] * 9, [50] * 9)
    gaze.stamps_ns[3:] += 80_000_000
    gaze.xy[5] = np.nan
    gaze.confidence[7] = 0.59
    looks = looks_of(gaze, SIZE)
    assert [round(x) for x in looks.durations_s * 1e3] == [20, 10, 0, 0]
    gaze.worn[:] = 1
    assert len(looks_of(gaze, SIZE)) == 0


def test_statistics_of_looks() -> None:
    states = [FIXATION] * 5 + [SACCADE] + [FIXATION] * 7 + [BLINK] * 3 + [FIXATION] * 5
    gaze = track(states, [100] * 5 + [150] + [164] * 7 + [0] * 3 + [292] * 5)
    gaze.xy[14] = np.nan
    found = look_statistics(gaze, looks_of(gaze, SIZE), 640)
    assert found.fixations_per_s == pytest.approx(3 / 0.2)
    assert found.fixation_s == pytest.approx(0.04)
    assert found.saccade_width == pytest.approx(0.15)  # the median of 64 and 128 px of 640
    assert found.blinks_per_s == pytest.approx(1 / 0.2)
    assert found.tracked == pytest.approx(20 / 21)
    gaze.stamps_ns[13:] += 30_000_000_000  # time without samples has no rate
    assert look_statistics(gaze, looks_of(gaze, SIZE), 640).fixations_per_s == pytest.approx(3 / 0.19)


def test_nothing_known_is_nan_and_not_zero() -> None:
    empty = track([], [])
    found = look_statistics(empty, looks_of(empty, SIZE), 640)
    assert np.isnan([found.fixations_per_s, found.fixation_s, found.saccade_width, found.tracked]).all()

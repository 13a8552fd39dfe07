"""Fixations by dispersion: which samples belong to one, and trackers that say it themselves."""

import numpy as np

from gaze_vlm_ros.gaze.fixations import fixating, with_fixations
from gaze_vlm_ros.session.gaze_track import GazeTrack


def times(count: int, rate_hz: float = 100) -> np.ndarray:
    return (np.arange(count) * 1e9 / rate_hz).astype(np.int64)


def test_steady_gaze_is_a_fixation_and_the_way_to_the_next_is_none() -> None:
    steady, other = np.tile([100.0, 80.0], (30, 1)), np.tile([400.0, 80.0], (30, 1))
    jump = np.column_stack([np.linspace(160, 340, 4), np.full(4, 80.0)])
    xy = np.concatenate([steady, jump, other]) + np.random.default_rng(0).normal(0, 0.5, (64, 2))
    found = fixating(times(64), xy, 12.0, 0.1)
    np.testing.assert_array_equal(found, [True] * 30 + [False] * 4 + [True] * 30)


def test_what_ends_too_early_drifts_too_far_or_has_a_gap_is_no_fixation() -> None:
    assert not fixating(times(10), np.zeros((10, 2)), 12.0, 0.1).any()  # 90 ms from the first sample to the last
    assert fixating(times(11), np.zeros((11, 2)), 12.0, 0.1).all()
    drift = np.column_stack([np.arange(40) * 2.0, np.zeros(40)])
    assert not fixating(times(40), drift, 12.0, 0.1).any()
    assert fixating(times(40), drift, 20.0, 0.1).sum() == 33  # three pieces of 11; the last 7 are too short
    lost = np.zeros((20, 2))
    lost[9] = np.nan
    assert fixating(times(20), lost, 12.0, 0.1).tolist() == [False] * 20
    late = times(20)
    late[10:] += 200_000_000
    assert not fixating(late, np.zeros((20, 2)), 12.0, 0.1).any()
    assert fixating(times(0), np.zeros((0, 2)), 12.0, 0.1).shape == (0,)


def test_states_are_filled_in_only_where_the_tracker_gives_none() -> None:
    xy = np.tile([50.0, 50.0], (30, 1))
    xy[20:] = np.random.default_rng(1).uniform(0, 640, (10, 2))
    state = np.zeros(30, np.uint8)
    state[5] = 3  # a blink that the tracker saw
    track = GazeTrack(times(30), xy, np.ones(30), np.full(30, 2, np.uint8), state, (640, 480))
    filled = with_fixations(track, (640, 480)).eye_state
    assert filled.tolist() == [1] * 5 + [3] + [1] * 14 + [2] * 10
    given = GazeTrack(track.stamps_ns, xy, track.confidence, track.worn, np.full(30, 1, np.uint8), (640, 480))
    assert with_fixations(given, (640, 480)) is given

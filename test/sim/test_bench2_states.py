"""Persons of bench 2 who are not as usual: what their eyes and hands do, and that all others are as they were."""

import dataclasses
import hashlib

import numpy as np
import pytest

from gaze_vlm_ros.sim.bench2_states import PersonState, States
from gaze_vlm_ros.sim.bench_scene import OBJECTS
from gaze_vlm_ros.sim.bench_session import FrameEvent, GazeEvent, simulate, truth_track
from gaze_vlm_ros.sim.bench_settings import BadBenchSettings, BenchSettings
from gaze_vlm_ros.sim.truth import TruthTrack

RATES = ("searching_rate_hz", "distracted_rate_hz", "not_looking_rate_hz")
FIXATION = 1


def settings_of(seed: int, **changes: object) -> BenchSettings:
    return dataclasses.replace(BenchSettings(bench=2, seed=seed, person=f"p{seed}", duration_s=60.0), **changes)  # type: ignore[arg-type]


def tracks(name: str) -> list[TruthTrack]:
    return [truth_track(settings_of(seed, **{name: 0.05})) for seed in range(8)]


def test_sessions_without_such_parts_are_the_same_to_the_last_bit() -> None:
    settings = settings_of(5, duration_s=20.0, width=64, height=48, frame_rate_hz=2.0, gaze_rate_hz=50.0)
    digest = hashlib.sha256()
    for event in simulate(settings):
        if isinstance(event, FrameEvent):
            digest.update(event.rgb.tobytes())
        elif isinstance(event, GazeEvent):
            digest.update(repr((event.t_ns, event.x, event.y, event.worn, event.eye_state)).encode())
        else:
            digest.update(repr(event).encode())
    assert digest.hexdigest()[:16] == "075ba6ec335b8394"  # as before there were such parts
    assert not truth_track(settings).person_state.any()


@pytest.mark.parametrize("name", RATES)
def test_only_the_parts_themselves_and_what_they_delay_differ(name: str) -> None:
    usual = truth_track(settings_of(3))
    other = truth_track(settings_of(3, **{name: 0.05}))
    first = int(np.flatnonzero(other.person_state)[0])
    assert set(other.person_state) <= {0, RATES.index(name) + 1}
    np.testing.assert_array_equal(other.hand[: first - 1], usual.hand[: first - 1])


def gaze_is_near(track: TruthTrack, rows: np.ndarray, objects: np.ndarray) -> float:
    """Share of fixations at `rows` that are on the object of each row."""
    rows = rows & (track.eye_state == FIXATION) & (objects >= 0)
    places = track.places[np.arange(len(track)), np.maximum(objects, 0)]
    return float((np.hypot(*(track.gaze - places).T) < 40)[rows].mean())


def test_who_searches_looks_at_more_and_takes_longer() -> None:
    near: dict[bool, list[float]] = {True: [], False: []}
    speeds: dict[bool, list[float]] = {True: [], False: []}
    for track in tracks("searching_rate_hz"):
        speed = np.hypot(*np.gradient(track.hand, axis=0).T)
        soon = track.contact_s - track.times_s < 1
        for part in (True, False):
            rows = (track.person_state == PersonState.SEARCHING) == part
            if rows.any():
                speeds[part].append(float(speed[rows].mean()))
            if (rows & soon & (track.doing < 0)).any():
                near[part].append(gaze_is_near(track, rows & soon & (track.doing < 0), track.target))
    assert np.mean(speeds[True]) < 0.75 * np.mean(speeds[False])
    assert np.nanmean(near[True]) < 0.35 < np.nanmean(near[False])


def test_who_is_distracted_looks_away_and_stops() -> None:
    for track in tracks("distracted_rate_hz"):
        rows = track.person_state == PersonState.DISTRACTED
        rows[1:] &= rows[:-1]
        rows[5:] &= rows[:-5]  # half a second to get there
        if rows.any():
            assert (track.gaze[rows & (track.eye_state == FIXATION), 1] < 80).mean() > 0.95
            moved = np.abs(np.diff(track.hand, axis=0)).max(axis=1)[rows[1:]]
            assert np.median(moved) < 4  # only the hand's own wander


def test_who_does_not_look_acts_all_the_same() -> None:
    own, usual = [], []
    for track in tracks("not_looking_rate_hz"):
        rows = track.person_state == PersonState.NOT_LOOKING
        soon = (track.contact_s - track.times_s < 0.4) & (track.doing < 0)
        if (rows & soon).any():
            own.append(gaze_is_near(track, rows & soon, track.target))
        usual.append(gaze_is_near(track, ~rows & soon, track.target))
        assert (track.doing >= 0)[rows].any() or not rows.any()
    assert np.nanmean(own) < 0.4 < 0.6 < np.nanmean(usual)


def test_time_stands_nearly_still_and_comes_back() -> None:
    states = States(np.array([0.0, 10.0, 14.0]), np.array([0, 2, 0], np.uint8))
    times_s = np.array([0.0, 5.0, 10.0, 12.0, 14.0, 20.0])
    usual_s = states.usual_time(times_s)
    np.testing.assert_allclose(usual_s, [0, 5, 10, 10.02, 10.04, 16.04])
    np.testing.assert_allclose(states.real_time(usual_s), times_s)
    assert states.at(np.array([9.9, 10.0, 14.0])).tolist() == [0, 2, 0]


def test_impossible_rates_are_named() -> None:
    with pytest.raises(BadBenchSettings, match="searching_rate_hz is -1, expected 0 or more"):
        BenchSettings(bench=2, searching_rate_hz=-1)
    with pytest.raises(BadBenchSettings, match=r"distracted_rate_hz is 0.1 on bench 1.*set bench to 2"):
        BenchSettings(distracted_rate_hz=0.1)
    assert len(OBJECTS) > 1

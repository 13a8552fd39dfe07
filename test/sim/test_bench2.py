"""Bench 2: its shares are the stated ones, what is drawn is what is true, and clock, sign and order tell little."""

import dataclasses
import functools

import numpy as np
import pytest

from gaze_vlm_ros.sim.bench2 import person_of, script, surface_of
from gaze_vlm_ros.sim.bench2_hand import (
    CHANGES,
    CONTACT,
    GRASPING,
    PAUSES,
    REACH,
    REST,
    SHIFT,
    WITHDRAWS,
    advance,
    place_at,
    resting,
)
from gaze_vlm_ros.sim.bench2_rates import BENCH_2
from gaze_vlm_ros.sim.bench2_traits import draw_traits
from gaze_vlm_ros.sim.bench_scene import OBJECTS
from gaze_vlm_ros.sim.bench_session import FrameEvent, LabelEvent, simulate, truth_track, vocabulary
from gaze_vlm_ros.sim.bench_settings import BadBenchSettings, BenchSettings
from gaze_vlm_ros.sim.truth import Script

SESSIONS, SECONDS = 16, 50.0


def settings_of(seed: int, **changes: object) -> BenchSettings:
    return dataclasses.replace(
        BenchSettings(bench=2, seed=seed, person=f"p{seed}", duration_s=SECONDS),
        **changes,  # type: ignore[arg-type]
    )


@functools.lru_cache
def scripts() -> list[Script]:
    return [script(settings_of(seed)) for seed in range(SESSIONS)]


def takes(lead_s: float) -> list[tuple[Script, np.ndarray, np.ndarray]]:
    """Times of each session this long before contact, and what is taken then."""
    found = []
    for played in scripts():
        times_s = played.actions.starts_s - lead_s
        rows = (times_s > 0) & (played.actions.starts_s < SECONDS)
        found.append((played, times_s[rows], played.actions.targets[rows]))
    return found


def test_the_same_settings_give_the_same_session() -> None:
    first, second, other = (truth_track(settings_of(seed, duration_s=10)) for seed in (3, 3, 4))
    for field in dataclasses.fields(first):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name))
    assert not np.array_equal(first.hand, other.hand)


def test_a_longer_session_begins_like_a_shorter_one() -> None:
    """All but the sign, whose share is of the whole session."""
    short, long = (truth_track(settings_of(5, duration_s=seconds)) for seconds in (12, 20))
    np.testing.assert_array_equal(short.places, long.places[: len(short)])
    np.testing.assert_array_equal(short.doing, long.doing[: len(short)])


@pytest.mark.parametrize("kinds", ["known", "held_out"])
def test_frames_labels_and_track_are_one_session(kinds: str) -> None:
    settings = settings_of(6, duration_s=8, width=96, height=72, gaze_rate_hz=20, kinds=kinds)
    track, events = truth_track(settings), list(simulate(settings))
    frames = [event for event in events if isinstance(event, FrameEvent)]
    assert [event.truth.doing for event in frames] == track.doing.tolist()
    assert [event.truth.hand_seen for event in frames] == track.hand_seen.tolist()
    labels = [(event.t_ns, event.text) for event in events if isinstance(event, LabelEvent)]
    for row, time_s in enumerate(track.times_s):
        said = [text for t_ns, text in labels if t_ns <= time_s * 1e9][-1]
        assert said == ("" if track.doing[row] < 0 else vocabulary()[track.doing[row]])
    assert len({event.rgb.tobytes() for event in frames}) == len(frames)


def test_held_out_kinds_look_different_and_move_alike() -> None:
    small = {"duration_s": 0.2, "width": 160, "height": 120, "gaze_rate_hz": 20}
    known, held_out = (settings_of(1, kinds=kinds, **small) for kinds in ("known", "held_out"))
    np.testing.assert_array_equal(truth_track(known).hand, truth_track(held_out).hand)
    first, second = (
        next(event.rgb for event in simulate(s) if isinstance(event, FrameEvent)) for s in (known, held_out)
    )
    assert np.abs(first.astype(int) - second).mean() > 5
    assert script(known).view.shapes != script(held_out).view.shapes


def test_the_hand_never_jumps() -> None:
    times_s = np.arange(0, 15, 0.01)
    for played in scripts()[:3]:
        steps = np.linalg.norm(np.diff(played.truth_at(times_s).hand, axis=0), axis=1)
        assert steps.max() < 25  # units in 10 ms; a quick reach of 400 units has a peak of 12


def test_things_stand_apart_and_close_together() -> None:
    nearest = []
    for played in scripts():
        places = played.truth_at(np.array([0.0])).places[0]
        apart = np.linalg.norm(places[:, None] - places, axis=2) + 1e9 * np.eye(len(places))
        nearest += apart.min(axis=1).tolist()
    assert min(nearest) >= BENCH_2.least_distance
    assert np.median(nearest) < BENCH_2.beside


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_the_sign_tells_exactly_its_share_of_takes_and_less_before(share: float) -> None:
    at_contact, before = [], []
    for seed in range(8):
        played = script(settings_of(seed, hint_reliability=share))
        starts_s = played.actions.starts_s[played.actions.starts_s < SECONDS]
        targets = played.actions.targets[: len(starts_s)]
        at_contact.append(played.truth_at(starts_s).hint == targets)
        before.append(played.truth_at(np.maximum(starts_s - 1, 0)).hint == targets)
        assert at_contact[-1].sum() == round(share * len(starts_s))
    assert np.concatenate(before).mean() < np.concatenate(at_contact).mean()


def test_a_misleading_sign_is_never_right_at_contact() -> None:
    for seed in range(6):
        played = script(settings_of(seed, scene="misleading"))
        starts_s = played.actions.starts_s[played.actions.starts_s < SECONDS]
        assert not (played.truth_at(starts_s).hint == played.actions.targets[: len(starts_s)]).any()


def test_changes_of_the_sign_tell_no_time() -> None:
    """They come as often just before a take as at any time."""
    changes, waiting = [], []
    for played in scripts():
        hint = played.truth_at(np.arange(0, SECONDS, 0.1)).hint
        changed = np.flatnonzero(hint[1:] != hint[:-1]) / 10
        _, next_s = played.actions.following(changed)
        _, usual_s = played.actions.following(np.arange(0, SECONDS, 0.1))
        changes += (next_s - changed < 1.5).tolist()
        waiting += (usual_s - np.arange(0, SECONDS, 0.1) < 1.5).tolist()
    error = np.sqrt(np.mean(waiting) * (1 - np.mean(waiting)) / len(changes))
    assert abs(np.mean(changes) - np.mean(waiting)) < 3 * error


def test_the_order_of_takes_tells_nothing() -> None:
    """The object just put down is taken next as often as any other."""
    again = np.concatenate([played.actions.targets[1:] == played.actions.targets[:-1] for played in scripts()])
    chance = 1 / len(OBJECTS)
    assert abs(again.mean() - chance) < 3 * np.sqrt(chance * (1 - chance) / len(again))


def test_a_clock_tells_little() -> None:
    """From the end of an action to the next start: the middle half of bench 1 lies within 0.3 s."""
    waits = np.concatenate([played.actions.starts_s[1:] - played.actions.ends_s[:-1] for played in scripts()])
    quarter, three_quarters, most = np.percentile(waits, [25, 75, 95])
    assert three_quarters - quarter > 1.5
    assert most > 2 * np.median(waits)


def test_gaze_is_on_the_object_as_often_as_stated() -> None:
    on = np.concatenate([
        np.linalg.norm(now.places[np.arange(len(targets)), targets] - now.gaze, axis=1) < 45
        for played, times_s, targets in takes(0.35)
        for now in [played.truth_at(times_s)]
    ])  # fmt: skip
    assert abs(on.mean() - 0.73) < 3 * np.sqrt(0.73 * 0.27 / len(on))


@pytest.mark.parametrize(("reliability", "least", "most"), [(0.0, 0.0, 0.35), (1.0, 0.85, 1.0)])
def test_gaze_can_be_unreliable_or_perfect(reliability: float, least: float, most: float) -> None:
    on = []
    for seed in range(6):
        played = script(settings_of(seed, gaze_reliability=reliability))
        starts_s = played.actions.starts_s[played.actions.starts_s < SECONDS]
        now = played.truth_at(starts_s - 0.2)
        targets = played.actions.targets[: len(starts_s)]
        on += (np.linalg.norm(now.places[np.arange(len(targets)), targets] - now.gaze, axis=1) < 45).tolist()
    assert least <= np.mean(on) <= most


def test_hands_do_what_the_rates_say() -> None:
    rng = np.random.default_rng(0)
    traits, _ = draw_traits(rng, BENCH_2, 4000)
    surface = surface_of(np.column_stack([np.linspace(100, 500, len(OBJECTS)), np.full(len(OBJECTS), 250.0)]),
                         settings_of(0))  # fmt: skip
    hands = resting(rng, BENCH_2, traits, surface)
    shares = [np.mean(hands.fate == fate) for fate in (PAUSES, CHANGES, WITHDRAWS, CONTACT)]
    stated = [BENCH_2.pause_share, BENCH_2.change_share, BENCH_2.withdraw_share]
    np.testing.assert_allclose(shares, [*stated, 1 - sum(stated)], atol=0.025)
    outside = np.mean(hands.goal[:, 1] == BENCH_2.outside_y)
    assert outside == pytest.approx(1 - (1 - BENCH_2.rest_outside_share) * (1 - BENCH_2.leave_share), abs=0.025)
    reached = hands.of(slice(None))
    advance(reached, 12.0, rng, BENCH_2, traits, surface, lambda rows: np.zeros((len(rows), 2)), stop=GRASPING)
    assert {REST, SHIFT, REACH, GRASPING} <= set(np.unique(reached.kind))
    there = reached.kind == GRASPING
    distance = np.linalg.norm(
        place_at(reached, reached.start_s, BENCH_2) - surface.places[reached.target] - (0, 22), axis=1
    )
    assert distance[there].max() < 6 * BENCH_2.aim_sigma


def test_many_hands_are_as_many_times_one() -> None:
    """What begins while other hands end something is not over with it."""
    rng = np.random.default_rng(1)
    traits, _ = draw_traits(rng, BENCH_2, 2000)
    surface = surface_of(np.column_stack([np.linspace(100, 500, len(OBJECTS)), np.full(len(OBJECTS), 250.0)]),
                         settings_of(0))  # fmt: skip
    hands = resting(rng, BENCH_2, traits, surface)
    shortest = BENCH_2.near_share * BENCH_2.reach_s[0] * np.exp(-5 * BENCH_2.reach_sigma)
    for now_s in np.arange(0.1, 6.0, 0.1):
        advance(hands, now_s, rng, BENCH_2, traits, surface, lambda rows: np.zeros((len(rows), 2)), stop=GRASPING)
        there = hands.kind == GRASPING
        assert (hands.start_s - hands.due_s)[there & (hands.planned_s == 0) & (hands.fate != PAUSES)].min(
            initial=9
        ) > shortest
    assert there.any()


def test_persons_differ_and_are_the_same_each_time() -> None:
    persons = [person_of(f"p{number}") for number in range(60)]
    assert dataclasses.asdict(person_of("p7")) == dataclasses.asdict(persons[7])
    assert 0 < sum(person.left_handed for person in persons) < 20
    assert len({person.habits.skin for person in persons}) > 50
    assert np.ptp([person.traits.reach_s[0] for person in persons]) > 0.4
    assert np.ptp([person.zoom for person in persons]) > 0.2


@pytest.mark.parametrize(
    ("name", "value"), [("bench", 3), ("kinds", "strange"), ("gaze_reliability", 1.2), ("gaze_lead_s", 0.0)]
)
def test_impossible_settings_are_named(name: str, value: object) -> None:
    with pytest.raises(BadBenchSettings, match=f"{name} is '?{value}'?, expected"):
        BenchSettings(**{name: value})  # type: ignore[arg-type]

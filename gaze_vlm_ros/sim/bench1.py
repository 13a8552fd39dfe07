"""Bench 1: one take after another, from one place to rest, in straight lines. Figures of earlier versions are of it."""

from __future__ import annotations

import numpy as np

from gaze_vlm_ros.sim.bench_scene import GRASP, Floats, Slot, habits, look, slots
from gaze_vlm_ros.sim.bench_settings import BenchSettings
from gaze_vlm_ros.sim.bench_sprites import CLUTTER
from gaze_vlm_ros.sim.person import Take, hand_at, plan, watch
from gaze_vlm_ros.sim.truth import Actions, Eyes, Script, TruthTrack


def script(settings: BenchSettings) -> Script:
    """Return what happens in a session of bench 1. Raises UnknownTask."""
    world = np.random.default_rng([settings.seed, 1])
    person = habits(settings.person)
    places = slots(world)
    order = world.permutation(len(places))
    clutter = [places[i] for i in order[: len(CLUTTER)]]
    free = [places[i] for i in order[len(CLUTTER) :]]
    start, takes = plan(
        np.random.default_rng([settings.seed, 2]), free, person, settings.task, settings.scene,
        settings.hint_reliability, settings.duration_s,
    )  # fmt: skip
    eyes = watch(np.random.default_rng([settings.seed, 3]), takes, start, person, settings.duration_s)
    actions = Actions(
        np.array([take.contact_s for take in takes]),
        np.array([take.down_s for take in takes]),
        np.array([take.target for take in takes]),
    )
    return Script(
        actions, eyes, look(world), person, clutter, lambda times_s: _truth(start, takes, actions, eyes, times_s)
    )


def _truth(start: list[Slot], takes: list[Take], actions: Actions, eyes: Eyes, times_s: Floats) -> TruthTrack:
    count, standing, put_down = len(times_s), list(start), 0
    places, scales = np.empty((count, len(start), 2)), np.empty((count, len(start)))
    hand, head, gaze, grip = np.empty((count, 2)), np.empty((count, 3)), np.empty((count, 2)), np.empty(count)
    state, carried = np.empty(count, np.uint8), np.full(count, -1)
    now = np.empty(count, np.int64)  # row of the take that the sign is about
    for row, time_s in enumerate(times_s.tolist()):
        while put_down < len(takes) and takes[put_down].down_s <= time_s:
            standing[takes[put_down].target] = takes[put_down].destination
            put_down += 1
        hand[row], grip[row], carrying = hand_at(takes, time_s)
        gaze[row], state[row], head[row] = eyes.at(time_s)
        now[row] = next(number for number, take in enumerate(takes) if take.home_s > time_s)
        places[row], scales[row] = [slot.at for slot in standing], [slot.scale for slot in standing]
        if carrying is not None:
            carried[row] = carrying.target
            places[row, carrying.target], scales[row, carrying.target] = hand[row] - GRASP, 1.0
    return TruthTrack(
        times_s, places, scales, carried, hand, np.ones(count, bool), grip, head, gaze, state,
        np.array([takes[row].hint for row in now]), actions.going_on(times_s), actions.targets[now],
        actions.starts_s[now], np.zeros(count, np.uint8),
    )  # fmt: skip

"""Bench 2: a session in which pixels do not decide everything. Its numbers are in bench2_rates."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.sim import bench2_hand as hand
from gaze_vlm_ros.sim.bench2_eyes import (
    ANYWHERE,
    AT_SIGN,
    DESTINATION,
    GUIDED,
    IDLE,
    OBSTACLE,
    SIGHTS,
    SIGN_CENTRE,
    Led,
    Sights,
    attention,
    fixations,
    head_follows,
)
from gaze_vlm_ros.sim.bench2_layout import Layout, draw_layout, free_place, scale_at
from gaze_vlm_ros.sim.bench2_rates import BENCH_2, Rates
from gaze_vlm_ros.sim.bench2_sign import Sign, draw_sign
from gaze_vlm_ros.sim.bench2_states import PersonState, States, draw_states
from gaze_vlm_ros.sim.bench2_traits import Traits, draw_traits
from gaze_vlm_ros.sim.bench_scene import (
    GRASP,
    MARGIN,
    OBJECTS,
    SHOULDER,
    VIEW_WIDTH,
    Floats,
    Habits,
    Look,
    Occluder,
    View,
)
from gaze_vlm_ros.sim.bench_settings import BenchSettings
from gaze_vlm_ros.sim.bench_sprites import HELD_OUT_SHAPES, KNOWN_SHAPES
from gaze_vlm_ros.sim.person import TRACK_RATE_HZ, eyes_on, head_sway, require_known, task_weights
from gaze_vlm_ros.sim.truth import Actions, Eyes, Indices, Script, TruthTrack

_WOODS = {
    "known": ((176, 132, 88), (150, 108, 70), (198, 164, 120), (128, 118, 108)),
    "held_out": ((84, 96, 92), (206, 200, 190), (112, 78, 62)),
}
_WALLS = {
    "known": ((214, 212, 204), (188, 198, 206), (206, 196, 178)),
    "held_out": ((170, 186, 168), (196, 176, 180)),
}
_SLEEVES = ((62, 72, 92), (92, 96, 100), (70, 84, 66), (110, 92, 78), (168, 164, 156), (96, 52, 58), (44, 46, 50))
_DARK_SKIN, _FAIR_SKIN = np.array((88, 58, 42)), np.array((240, 196, 166))
_LOOK_STEP_S = 0.02  # how finely what leads gaze is followed


@dataclass(frozen=True)
class Person:
    """How one person moves, and looks in the picture."""

    traits: Traits  # of one
    habits: Habits
    left_handed: bool
    shoulder: tuple[float, float]
    tilt: float  # units that the camera on the head is turned upwards
    roll: float  # rad
    zoom: float


def person_of(name: str, rates: Rates = BENCH_2) -> Person:
    """Return the person of that name: always the same."""
    rng = np.random.default_rng([2, *name.encode()])
    traits, left = draw_traits(rng, rates, 1)
    fair = rng.random()
    red, green, blue = (int(channel) for channel in _DARK_SKIN + fair * (_FAIR_SKIN - _DARK_SKIN))
    skin = (red, green, blue)
    sleeve = skin if rng.random() < 0.2 else _SLEEVES[rng.integers(len(_SLEEVES))]
    side = -1.0 if left[0] else 1.0
    return Person(
        traits,
        Habits(skin, sleeve, float(traits.reach_s[0]), rates.lead_median_s, float(traits.head_gain[0]),
               float(rng.uniform(*rates.tremor))),
        bool(left[0]),
        (VIEW_WIDTH / 2 + side * float(rng.uniform(60, 170)), float(SHOULDER[1])),
        float(rng.normal(0, rates.tilt)),
        float(rng.normal(0, rates.roll)),
        float(rng.uniform(*rates.zoom)),
    )  # fmt: skip


def session_rates(settings: BenchSettings) -> Rates:
    """Return the numbers of a session: those of bench 2 with the session's look-ahead."""
    return replace(BENCH_2, lead_median_s=settings.gaze_lead_s)


def surface_of(places: Floats, settings: BenchSettings) -> hand.Surface:
    """Return what a hand can take. places: (objects, 2) centres."""
    weights = task_weights(settings.task, places[:, 0])
    return hand.Surface(places, weights / weights.sum(), float(np.sqrt(settings.gaze_reliability)))


def script(settings: BenchSettings) -> Script:
    """Return what happens in a session of bench 2. Raises UnknownTask."""
    require_known(settings.task, settings.scene)
    rates, person = session_rates(settings), person_of(settings.person)
    world = np.random.default_rng([settings.seed, 21])
    layout = draw_layout(world, rates)
    look, view = surroundings(world, settings, person, layout)
    start = layout.places.copy()
    movements, moved = _movements(np.random.default_rng([settings.seed, 22]), settings, rates, person, layout)
    taken = movements.kind == hand.GRASPING
    put = movements.kind == hand.CARRY
    count = int(put.sum())
    states = draw_states(np.random.default_rng([settings.seed, 26]), settings)
    actions = Actions(
        states.real_time(movements.start_s[taken][:count]), states.real_time(movements.end_s[put]),
        movements.target[put],
    )  # fmt: skip
    share = settings.hint_reliability if settings.scene == "workbench" else 0.0
    sign = draw_sign(np.random.default_rng([settings.seed, 23]), actions, share, rates, settings.duration_s)
    standing = _Standing(start, actions, moved)
    eyes = _eyes(
        np.random.default_rng([settings.seed, 24]),
        settings,
        rates,
        person,
        movements,
        standing,
        layout.occluders,
        states,
    )
    wander = _wander(np.random.default_rng([settings.seed, 25]), rates, settings.duration_s)
    height = VIEW_WIDTH * settings.height / settings.width

    def truth_at(times_s: Floats) -> TruthTrack:
        return _truth(times_s, rates, movements, actions, standing, sign, eyes, wander, view, height, states)

    return Script(actions, eyes, look, person.habits, layout.clutter, truth_at, view)


def surroundings(
    rng: np.random.Generator, settings: BenchSettings, person: Person, layout: Layout
) -> tuple[Look, View]:
    """Draw the bench's wood, wall, shapes and light, and how `person` sees them."""
    woods, walls = _WOODS[settings.kinds], _WALLS[settings.kinds]
    shapes = KNOWN_SHAPES if settings.kinds == "known" else HELD_OUT_SHAPES
    look = Look(
        woods[rng.integers(len(woods))], walls[rng.integers(len(walls))], float(rng.uniform(0.85, 1.1)),
        int(rng.integers(1 << 31)),
    )  # fmt: skip
    warmth, light = rng.uniform(-0.1, 0.1), rng.uniform(0.72, 1.1)
    scale = BENCH_2.object_scale * person.zoom
    tint = (float(light * (1 + warmth)), float(light), float(light * (1 - warmth)))
    return look, View(
        person.shoulder, person.zoom, layout.occluders, tint, scale, int(shapes[rng.integers(len(shapes))])
    )


def _movements(
    rng: np.random.Generator, settings: BenchSettings, rates: Rates, person: Person, layout: Layout
) -> tuple[hand.Hands, Floats]:
    """Return all movements until after the session's end, and (takes, 2) where each object is put."""
    now = hand.resting(rng, rates, person.traits, surface_of(layout.places, settings))
    made, put = [], []
    while now.start_s[0] < settings.duration_s + 2 or now.kind[0] in (hand.GRASPING, hand.CARRY):
        made.append(now.of(slice(None)))
        if now.kind[0] == hand.GRASPING:
            put.append(free_place(rng, rates, layout, int(now.target[0])))
            layout.places[now.target[0]] = put[-1]
        hand.advance(
            now, now.end_s, rng, rates, person.traits, surface_of(layout.places, settings),
            lambda _: np.array(put[-1:]), once=True,
        )  # fmt: skip
    return hand.joined(made), np.array(put).reshape(-1, 2)


@dataclass(frozen=True)
class _Standing:
    """Where objects stand over time."""

    start: Floats  # (objects, 2)
    actions: Actions
    put: Floats  # (takes, 2)

    def at(self, times_s: Floats) -> Floats:
        """Return (T, objects, 2), as of the last object put down. times_s: (T,)."""
        after = np.empty((len(self.put) + 1, *self.start.shape))
        after[0] = self.start
        for number, target in enumerate(self.actions.targets.tolist()):
            after[number + 1] = after[number]
            after[number + 1, target] = self.put[number]
        return after[np.searchsorted(self.actions.ends_s, times_s, side="right")]


def _eyes(
    rng: np.random.Generator, settings: BenchSettings, rates: Rates, person: Person, movements: hand.Hands,
    standing: _Standing, occluders: tuple[Occluder, ...], states: States,
) -> Eyes:  # fmt: skip
    until_s = settings.duration_s + 1
    times_s = np.arange(int(np.ceil(until_s * TRACK_RATE_HZ)) + 2) / TRACK_RATE_HZ
    steps_s = np.arange(0, until_s, _LOOK_STEP_S)
    # Movements are in usual time: what the hand would do by now if the person were as usual all along.
    usual_s, state = states.usual_time(steps_s), states.at(steps_s)
    now = movements.of(_rows_at(movements, usual_s))
    mode, object_ = attention(now, usual_s, rates)
    object_ = np.where(mode == GUIDED, object_, -1)
    # A look-ahead, if it comes while nothing else leads gaze.
    ahead = (now.look_ahead_s <= usual_s) & (usual_s < now.look_ahead_s + _LOOK_STEP_S) & (mode == IDLE)
    ahead &= state == PersonState.USUAL
    changes = np.r_[
        True, (mode[1:] != mode[:-1]) | (object_[1:] != object_[:-1]) | ahead[1:] | (state[1:] != state[:-1])
    ]
    rows = np.flatnonzero(changes)
    led = Led(steps_s[rows], mode[rows], object_[rows], np.where(ahead[rows], now.target[rows], -1), state[rows])
    places = standing.at(steps_s[rows])
    destinations = now.goal[rows] - GRASP
    next_put = np.searchsorted(standing.actions.ends_s, steps_s[rows], side="right")
    sights = []
    for number in range(len(rows)):
        seen = np.full((SIGHTS, 2), np.nan)
        seen[: len(OBJECTS)] = places[number]
        if occluders:
            obstacle = occluders[number % len(occluders)]
            seen[OBSTACLE] = (obstacle.left + obstacle.right) / 2, min(obstacle.top + 20, 400)
        seen[AT_SIGN], seen[ANYWHERE] = SIGN_CENTRE, np.nan
        seen[DESTINATION] = (
            standing.put[next_put[number]] if next_put[number] < len(standing.put) else destinations[number]
        )
        sights.append(Sights(seen))
    looks = fixations(rng, led, sights, settings.gaze_reliability, until_s, rates)
    gaze, state = eyes_on(rng, looks, times_s, settings.duration_s)
    sway = head_sway(rng, times_s) * person.habits.tremor
    limit = MARGIN * 0.55
    shift = np.clip(head_follows(gaze, person.habits.head_gain, TRACK_RATE_HZ) + sway[:, :2], -limit, limit)
    return Eyes(
        gaze, state, np.column_stack([shift[:, 0], shift[:, 1] + person.tilt, sway[:, 2] * 0.003 + person.roll]),
        TRACK_RATE_HZ,
    )  # fmt: skip


def _rows_at(movements: hand.Hands, times_s: Floats) -> Indices:
    return np.searchsorted(movements.start_s, times_s, side="right") - 1


def _wander(rng: np.random.Generator, rates: Rates, duration_s: float) -> Floats:
    """Return (T, 2) how a hand strays from its path, at TRACK_RATE_HZ / 4."""
    steps = int((duration_s + 2) * TRACK_RATE_HZ / 4) + 2
    kept = np.exp(-4 / (TRACK_RATE_HZ * rates.wander_s))
    noise = rng.normal(0, rates.wander * np.sqrt(1 - kept**2), (steps, 2))
    strays, now = [], noise[0] / np.sqrt(1 - kept**2)
    for step in noise[1:]:
        strays.append(now)
        now = kept * now + step
    return np.array(strays)


def _truth(
    times_s: Floats, rates: Rates, movements: hand.Hands, actions: Actions, standing: _Standing, sign: Sign, eyes: Eyes,
    wander: Floats, view: View, height: float, states: States,
) -> TruthTrack:  # fmt: skip
    usual_s = states.usual_time(times_s)
    rows = _rows_at(movements, usual_s)
    now = movements.of(rows)
    position = times_s * TRACK_RATE_HZ / 4
    before = np.clip(position.astype(int), 0, len(wander) - 2)
    share = (position - before)[:, None]
    fingertips = hand.place_at(now, usual_s, rates) + (1 - share) * wander[before] + share * wander[before + 1]
    places = standing.at(times_s)
    doing = actions.going_on(times_s)
    held = np.flatnonzero(now.kind == hand.CARRY)
    carried = np.full(len(times_s), -1)
    carried[held] = now.target[held]
    scales = np.asarray(scale_at(rates, places[..., 1]))
    places[held, carried[held]] = fingertips[held] - GRASP
    looks = [eyes.at(time_s) for time_s in times_s.tolist()]
    head = np.array([look[2] for look in looks]).reshape(-1, 3)
    following, starts_s = actions.following(times_s)
    row = np.searchsorted(actions.starts_s, times_s, side="right") - 1
    busy = doing >= 0
    gaze = np.array([look[0] for look in looks]).reshape(-1, 2)
    return TruthTrack(
        times_s, places, scales, carried, fingertips, in_view(fingertips, head, view, height),
        hand.grip_at(now, usual_s), head, gaze, np.array([look[1] for look in looks], np.uint8),
        sign.at(times_s), doing, np.where(busy, doing, following),
        np.where(busy, np.append(actions.starts_s, np.inf)[row], starts_s), states.at(times_s),
    )  # fmt: skip


def in_view(fingertips: Floats, head: Floats, view: View, height: float) -> NDArray[np.bool_]:
    """Return whether fingertips (..., 2) are in the picture, with nothing before them.

    head: (3,), or one for each as arrays broadcast. height: of the view, in units.
    """
    place = view.seen(fingertips, head, height)
    x, y = place[..., 0], place[..., 1]
    seen = (x >= 0) & (x < VIEW_WIDTH) & (y >= 0) & (y < height)
    for occluder in view.occluders:
        across, down = fingertips[..., 0], fingertips[..., 1]
        seen &= ~((across > occluder.left) & (across < occluder.right) & (down > occluder.top))
    return seen

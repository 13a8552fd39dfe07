"""What hands do on bench 2: a semi-Markov process over rests, reaches and their corrections, in continuous time.

It is written for N hands at once. One hand is the simulated person; many are the particles of the observer who knows
this model (training.reference). Both run the same code, so that the observer's model is the bench's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.sim.bench2_rates import Rates
from gaze_vlm_ros.sim.bench2_traits import Traits
from gaze_vlm_ros.sim.bench_scene import GRASP, VIEW_WIDTH, Floats
from gaze_vlm_ros.sim.truth import Indices

# What a hand does, from start_s to end_s.
REST, SHIFT, REACH, PAUSE, GRASPING, CARRY, RETREAT = range(7)
# How a reach ends.
CONTACT, PAUSES, CHANGES, WITHDRAWS = range(4)


@dataclass
class Hands:
    """N hands, each in one movement or rest. Arrays are (N,), places (N, 2)."""

    kind: Indices
    start_s: Floats
    main_end_s: Floats  # the movement from origin to goal ends
    end_s: Floats  # and its correction: what comes then is drawn then
    origin: Floats
    goal: Floats
    bow: Floats  # sideways swing half way, as a share of the distance
    turn_s: Floats  # a correction starts; inf: none does
    turn_to: Floats  # and ends here
    # The plan: drawn when a wait begins
    planned_s: Floats  # the wait begins
    away: NDArray[np.bool_]  # the person leaves meanwhile
    due_s: Floats  # the reach starts
    target: Indices  # object to be taken
    fate: Indices  # how the reach ends
    other: Indices  # object that is taken where it changes
    haste: Floats  # logarithm of the reach's time, relative to the person's usual
    swing: Floats  # bow of the reach, relative to the person's own
    turn_share: Floats  # of the reach's time
    gaze_s: Floats  # gaze is on the target from here on; inf: never
    look_ahead_s: Floats  # a glance at the target; inf: none

    def __len__(self) -> int:
        return len(self.kind)

    def of(self, rows: object) -> Hands:
        """Return copies of these rows."""
        return Hands(*(np.copy(getattr(self, name)[rows]) for name in FIELDS))

    def put(self, rows: object, hands: Hands) -> None:
        """Replace these rows."""
        for name in FIELDS:
            getattr(self, name)[rows] = getattr(hands, name)


FIELDS = tuple(field.name for field in dataclasses.fields(Hands))


def joined(parts: list[Hands]) -> Hands:
    """Return all hands in one."""
    return Hands(*(np.concatenate([getattr(part, name) for part in parts]) for name in FIELDS))


@dataclass(frozen=True)
class Surface:
    """What a hand can do now: where objects are, and how often each is chosen."""

    places: Floats  # (objects, 2) centres
    odds: Floats  # (objects,) of being taken next, sums to 1
    guided_share: float  # of takes that gaze leads


Destinations = Callable[[Indices], Floats]  # rows of hands that hold an object -> (rows, 2) where each puts it


def minimum_jerk(share: Floats) -> Floats:
    """Return the share of the way covered at a share of the time (Flash and Hogan 1985)."""
    p = np.clip(share, 0.0, 1.0)
    return p * p * p * (10 - 15 * p + 6 * p * p)


def place_at(hands: Hands, times_s: Floats, rates: Rates) -> Floats:
    """Return (..., 2) fingertips. times_s: (N,), or (T, N) for several times of each hand."""
    span = np.maximum(hands.main_end_s - hands.start_s, 1e-6)
    share = np.clip((times_s - hands.start_s) / span, 0.0, 1.0)
    way = minimum_jerk(np.where(hands.kind == REACH, share**rates.path_warp, share))
    ahead = hands.goal - hands.origin
    aside = np.stack([-ahead[:, 1], ahead[:, 0]], axis=1)
    turning = minimum_jerk((times_s - hands.turn_s) / np.maximum(hands.end_s - hands.turn_s, 1e-6))
    turning = np.where(np.isfinite(hands.turn_s), turning, 0.0)
    lift = np.where(hands.kind == CARRY, rates.lift * np.sin(np.pi * share), 0.0)
    place = (
        hands.origin
        + ahead * way[..., None]
        + aside * (hands.bow * np.sin(np.pi * way))[..., None]
        + (hands.turn_to - hands.goal) * turning[..., None]
    )
    place[..., 1] -= lift
    return place


def grip_at(hands: Hands, times_s: Floats) -> Floats:
    """Return (N,) how far each hand is closed, 0 to 1."""
    share = np.clip((times_s - hands.start_s) / np.maximum(hands.end_s - hands.start_s, 1e-6), 0.0, 1.0)
    return np.select(
        [hands.kind == GRASPING, hands.kind == CARRY, hands.kind == RETREAT],
        [share, np.ones_like(share), np.maximum(0.0, 1 - 3 * share)],
        0.0,
    )


def resting(rng: np.random.Generator, rates: Rates, traits: Traits, surface: Surface, at_s: float = 0.0) -> Hands:
    """Return hands that begin to rest at `at_s`, one for each person, with a plan."""
    count = len(traits.pace)
    zeros, nowhere = np.zeros(count), np.full(count, np.inf)
    hands = Hands(
        np.full(count, REST), zeros + at_s, zeros + at_s, zeros + at_s, np.zeros((count, 2)), np.zeros((count, 2)),
        zeros.copy(), nowhere.copy(), np.zeros((count, 2)), zeros.copy(), np.zeros(count, bool), zeros.copy(),
        np.zeros(count, int), np.zeros(count, int),
        np.zeros(count, int), zeros.copy(), zeros.copy(), zeros.copy(), nowhere.copy(), nowhere.copy(),
    )  # fmt: skip
    rows = np.arange(count)
    away = _make_plan(hands, rows, hands.start_s, rng, rates, traits, surface)
    rest(hands, rows, hands.start_s, _rest_places(away, None, rng, rates, traits), rng, rates)
    return hands


def advance(
    hands: Hands, until_s: Floats | float, rng: np.random.Generator, rates: Rates, traits: Traits, surface: Surface,
    destinations: Destinations, stop: int | None = None, once: bool = False,
) -> None:  # fmt: skip
    """Go on until each hand's movement ends after `until_s`, drawing what comes next, in place.

    stop: hands of this kind are left as they are, e.g. GRASPING at first contact. once: one step for each hand.
    """
    while True:
        over = hands.end_s <= until_s
        if stop is not None:
            over &= hands.kind != stop
        if not over.any():
            return
        before = hands.kind.copy()  # what begins now is not over
        for kind in np.unique(before[over]):
            rows = np.flatnonzero(over & (before == kind))
            _NEXT[kind](hands, rows, rng, rates, traits.of(rows), surface, destinations)
        if once:
            return


def _make_plan(
    hands: Hands, rows: Indices, at_s: Floats, rng: np.random.Generator, rates: Rates, traits: Traits, surface: Surface
) -> NDArray[np.bool_]:
    """Draw when the next reach of these rows starts, and the reach. Return whether each leaves the picture meanwhile.

    at_s: (rows,) the wait begins. traits: of these rows.
    """
    count = len(rows)
    away = rng.random(count) < rates.leave_share
    median_s, sigma = wait_of(away, rates, traits)
    hands.planned_s[rows], hands.away[rows] = at_s, away
    hands.due_s[rows] = at_s + median_s * np.exp(sigma * rng.normal(size=count))
    draw_reach(hands, rows, rng, rates, traits, surface)
    return away


def wait_of(away: NDArray[np.bool_], rates: Rates, traits: Traits) -> tuple[Floats, Floats]:
    """Return the median (N,) of the log-normal waits of these persons, s, and the sigma of their logarithms (N,)."""
    return (
        np.where(away, rates.leave_median_s, rates.wait_median_s * traits.pace),
        np.where(away, rates.leave_sigma, rates.wait_sigma),
    )


def draw_reach(
    hands: Hands, rows: Indices, rng: np.random.Generator, rates: Rates, traits: Traits, surface: Surface
) -> None:
    """Draw the reach that starts at due_s: its object, its way and end, and the gaze that goes with it."""
    count = len(rows)
    hands.target[rows] = choose(rng, surface.odds, count)
    hands.other[rows] = another(rng, surface.odds, hands.target[rows])
    draw_fate(hands, rows, rng, rates)
    hands.haste[rows] = rng.normal(0, rates.reach_sigma, count)
    hands.swing[rows] = rng.normal(0, rates.bow_sigma, count)
    # Contact as expected from a usual distance: gaze does not wait for the hand to leave.
    contact_s = hands.due_s[rows] + 0.9 * traits.reach_s * np.exp(hands.haste[rows])
    lead_s = rates.lead_median_s * np.exp(rng.normal(0, rates.lead_sigma, count))
    guided = rng.random(count) < surface.guided_share
    hands.gaze_s[rows] = np.where(guided, contact_s - lead_s, np.inf)
    ahead = rng.random(count) < rates.look_ahead_share
    hands.look_ahead_s[rows] = np.where(ahead, contact_s - rng.uniform(*rates.look_ahead_s, count), np.inf)


def draw_fate(hands: Hands, rows: Indices, rng: np.random.Generator, rates: Rates) -> None:
    """Draw how a reach ends, and when it turns if it does."""
    chances = np.array([rates.pause_share, rates.change_share, rates.withdraw_share])
    hands.fate[rows] = np.array([PAUSES, CHANGES, WITHDRAWS, CONTACT])[
        np.searchsorted(np.cumsum(chances), rng.random(len(rows)), side="right")
    ]
    hands.turn_share[rows] = rng.uniform(*rates.turn_from, len(rows))


def choose(rng: np.random.Generator, odds: Floats, count: int) -> Indices:
    """Draw `count` objects by their odds."""
    return np.minimum(np.searchsorted(np.cumsum(odds), rng.random(count), side="right"), len(odds) - 1)


def another(rng: np.random.Generator, odds: Floats, not_this: Indices) -> Indices:
    """Draw an object by its odds, other than the given one of each row."""
    weights = np.broadcast_to(odds, (len(not_this), len(odds))).copy()
    weights[np.arange(len(not_this)), not_this] = 0.0
    below = np.cumsum(weights, axis=1)
    return (below < (rng.random(len(not_this)) * below[:, -1])[:, None]).sum(axis=1)


def _rest_places(
    away: NDArray[np.bool_], put: Floats | None, rng: np.random.Generator, rates: Rates, traits: Traits
) -> Floats:
    """Draw where hands rest. put: (N, 2) where each has just put something, None = nowhere."""
    count = len(away)
    place = np.column_stack([
        np.clip(traits.rest_x + rng.normal(0, rates.rest_spread[0], count), 30, VIEW_WIDTH - 30),
        rates.rest_y + rng.normal(0, rates.rest_spread[1], count),
    ])  # fmt: skip
    if put is not None:
        beside = put + np.column_stack([rng.normal(0, 25, count), rng.uniform(30, 60, count)])
        stays = rng.random(count) < rates.rest_where_put_share
        place = np.where(stays[:, None], beside, place)
    outside = away | (rng.random(count) < rates.rest_outside_share)
    place[outside, 1] = rates.outside_y
    return place


def rest(hands: Hands, rows: Indices, at_s: Floats, place: Floats, rng: np.random.Generator, rates: Rates) -> None:
    """Let these rows rest at `place` from `at_s` on, until their reach is due or they fidget."""
    fidget_s = at_s + rng.exponential(1 / rates.fidget_rate_hz, len(rows))
    move(hands, rows, REST, at_s, np.maximum(np.minimum(hands.due_s[rows], fidget_s), at_s), place, place)


def move(
    hands: Hands, rows: Indices, kind: int, start_s: Floats, end_s: Floats, origin: Floats, goal: Floats,
    bow: Floats | float = 0.0,
) -> None:  # fmt: skip
    """Begin a movement of `kind`, without a turn, in these rows."""
    hands.kind[rows], hands.start_s[rows] = kind, start_s
    hands.main_end_s[rows], hands.end_s[rows] = end_s, end_s
    hands.origin[rows], hands.goal[rows], hands.turn_to[rows] = origin, goal, goal
    hands.bow[rows], hands.turn_s[rows] = bow, np.inf


def start_reach(
    hands: Hands, rows: Indices, at_s: Floats, origin: Floats, rng: np.random.Generator, rates: Rates, traits: Traits,
    surface: Surface,
) -> None:  # fmt: skip
    """Begin the planned reach of these rows from `origin` at `at_s`."""
    goal = surface.places[hands.target[rows]] + GRASP + rng.normal(0, rates.aim_sigma, (len(rows), 2))
    length_s = reach_length_s(np.linalg.norm(goal - origin, axis=1), hands.haste[rows], rates, traits)
    move(hands, rows, REACH, at_s, at_s + length_s, origin, goal, traits.bow + hands.swing[rows])
    plan_turn(hands, rows, rng, rates, traits, surface)


def reach_length_s(distance: Floats, haste: Floats, rates: Rates, traits: Traits) -> Floats:
    """Return the time that reaches of these distances take, s. haste: logarithm relative to the person's usual."""
    return traits.reach_s * (rates.near_share + (1 - rates.near_share) * distance / 300) * np.exp(haste)


def plan_turn(
    hands: Hands, rows: Indices, rng: np.random.Generator, rates: Rates, traits: Traits, surface: Surface
) -> None:
    """Draw where the reaches of these rows turn to, as their fate and turn_share say, and when they end."""
    hands.turn_s[rows], hands.turn_to[rows] = np.inf, hands.goal[rows]
    hands.end_s[rows] = hands.main_end_s[rows]
    turns = hands.fate[rows] != CONTACT
    turning = rows[turns]
    if not len(turning):
        return
    span_s = hands.main_end_s[turning] - hands.start_s[turning]
    turn_s = hands.start_s[turning] + hands.turn_share[turning] * span_s
    here = place_at(hands.of(turning), turn_s, rates)
    changed = surface.places[hands.other[turning]] + GRASP + rng.normal(0, rates.aim_sigma, here.shape)
    back = _rest_places(np.zeros(len(turning), bool), None, rng, rates, traits.of(turns))
    hands.turn_to[turning] = np.where(hands.fate[turning][:, None] == CHANGES, changed, back)
    time_turn(hands, turning, turn_s, rates, traits.of(turns))


def time_turn(hands: Hands, rows: Indices, turn_s: Floats, rates: Rates, traits: Traits) -> None:
    """Let the reaches of these rows turn to `turn_to` at turn_s (rows,), those that pause a little further on."""
    hands.turn_s[rows] = np.inf
    here = place_at(hands.of(rows), turn_s, rates)
    onwards = here + 0.3 * (hands.goal[rows] - here)
    hands.turn_to[rows] = np.where(hands.fate[rows][:, None] == PAUSES, onwards, hands.turn_to[rows])
    way = np.linalg.norm(hands.turn_to[rows] - here, axis=1)
    needed_s = np.maximum(rates.turn_s, reach_length_s(way, np.zeros(len(way)), rates, traits))
    hands.turn_s[rows] = turn_s
    hands.end_s[rows] = np.maximum(hands.main_end_s[rows], turn_s + needed_s)


# What comes after each kind: (hands, rows, rng, rates, traits of these rows, surface, destinations).


def _after_rest(
    hands: Hands, rows: Indices, rng: np.random.Generator, rates: Rates, traits: Traits, surface: Surface,
    _: Destinations,
) -> None:  # fmt: skip
    at_s, place = hands.end_s[rows], hands.goal[rows]
    due = hands.due_s[rows] <= at_s
    if due.any():
        start_reach(hands, rows[due], at_s[due], place[due], rng, rates, traits.of(due), surface)
    if not due.all():
        stays = np.zeros(int((~due).sum()), bool)
        _retreat(hands, rows[~due], stays, at_s[~due], place[~due], rng, rates, traits.of(~due))


def _retreat(
    hands: Hands, rows: Indices, away: NDArray[np.bool_], at_s: Floats, place: Floats, rng: np.random.Generator,
    rates: Rates, traits: Traits,
) -> None:  # fmt: skip
    """Move hands from `place` to where they rest. away: leave the bench."""
    new = _rest_places(away, None, rng, rates, traits)
    length_s = rng.uniform(*rates.retreat_s, len(rows))
    move(hands, rows, SHIFT, at_s, at_s + length_s, place, new)


def _after_move(
    hands: Hands, rows: Indices, rng: np.random.Generator, rates: Rates, traits: Traits, surface: Surface,
    _: Destinations,
) -> None:  # fmt: skip
    rest(hands, rows, hands.end_s[rows], hands.goal[rows], rng, rates)


def _after_reach(
    hands: Hands, rows: Indices, rng: np.random.Generator, rates: Rates, traits: Traits, surface: Surface,
    _: Destinations,
) -> None:  # fmt: skip
    at_s, place, fate = hands.end_s[rows], hands.turn_to[rows], hands.fate[rows]
    taken = (fate == CONTACT) | (fate == CHANGES)
    changed = rows[fate == CHANGES]
    hands.target[changed] = hands.other[changed]
    grasp_s = rng.uniform(*rates.grasp_s, len(rows))
    pause_s = rates.pause_median_s * np.exp(rng.normal(0, rates.pause_sigma, len(rows)))
    move(hands, rows[taken], GRASPING, at_s[taken], (at_s + grasp_s)[taken], place[taken], place[taken])
    paused = fate == PAUSES
    move(hands, rows[paused], PAUSE, at_s[paused], (at_s + pause_s)[paused], place[paused], place[paused])
    back = fate == WITHDRAWS
    if back.any():
        _make_plan(hands, rows[back], at_s[back], rng, rates, traits.of(back), surface)
        rest(hands, rows[back], at_s[back], place[back], rng, rates)


def _after_pause(
    hands: Hands, rows: Indices, rng: np.random.Generator, rates: Rates, traits: Traits, surface: Surface,
    _: Destinations,
) -> None:  # fmt: skip
    at_s, place = hands.end_s[rows], hands.goal[rows]
    what = np.searchsorted(np.cumsum(rates.after_pause[:2]), rng.random(len(rows)), side="right")
    draw_fate(hands, rows, rng, rates)  # of the reach that goes on
    changed = rows[what == 1]
    hands.target[changed] = hands.other[changed]
    hands.other[changed] = another(rng, surface.odds, hands.target[changed])
    goes = what < 2
    if goes.any():
        start_reach(hands, rows[goes], at_s[goes], place[goes], rng, rates, traits.of(goes), surface)
    if not goes.all():
        back, own = rows[~goes], traits.of(~goes)
        away = _make_plan(hands, back, at_s[~goes], rng, rates, own, surface)
        _retreat(hands, back, away, at_s[~goes], place[~goes], rng, rates, own)


def _after_grasp(
    hands: Hands, rows: Indices, rng: np.random.Generator, rates: Rates, traits: Traits, surface: Surface,
    destinations: Destinations,
) -> None:  # fmt: skip
    at_s = hands.end_s[rows]
    move(hands, rows, CARRY, at_s, at_s + rng.uniform(*rates.carry_s, len(rows)), hands.goal[rows],
          destinations(rows) + GRASP)  # fmt: skip


def _after_carry(
    hands: Hands, rows: Indices, rng: np.random.Generator, rates: Rates, traits: Traits, surface: Surface,
    _: Destinations,
) -> None:  # fmt: skip
    at_s = hands.end_s[rows]
    away = _make_plan(hands, rows, at_s, rng, rates, traits, surface)
    new = _rest_places(away, hands.goal[rows], rng, rates, traits)
    move(hands, rows, RETREAT, at_s, at_s + rng.uniform(*rates.retreat_s, len(rows)), hands.goal[rows], new)


_NEXT = {
    REST: _after_rest,
    SHIFT: _after_move,
    REACH: _after_reach,
    PAUSE: _after_pause,
    GRASPING: _after_grasp,
    CARRY: _after_carry,
    RETREAT: _after_move,
}

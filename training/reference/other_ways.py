"""Other ways in which hands could have come: proposals of Metropolis steps, and what they are weighed with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.prediction.believed_stream import Floats
from gaze_vlm_ros.sim import bench2_hand as hand
from gaze_vlm_ros.sim.bench2_rates import Rates
from gaze_vlm_ros.sim.bench2_traits import Traits
from gaze_vlm_ros.sim.bench_scene import GRASP


def other_place(
    rng: np.random.Generator, hands: hand.Hands, traits: Traits, surface: hand.Surface, rates: Rates, now_s: float
) -> tuple[hand.Hands, NDArray[np.bool_]]:
    """Propose another place to rest or to move to, and another end of the movement there.

    Like the others here, returns new hands (N), and whether the aims of each were drawn as for a reach that begins.
    """
    del traits, surface
    new = hands.of(slice(None))
    size = np.where(rng.random(len(new)) < 0.5, 3.0, 15.0)[:, None]
    step = rng.normal(0, 1, (len(new), 2)) * size
    step[new.goal[:, 1] == rates.outside_y, 1] = 0.0
    still = np.isin(new.kind, (hand.REST, hand.PAUSE))
    new.goal, new.turn_to = new.goal + step, new.turn_to + step
    new.origin = new.origin + np.where(still[:, None], step, 0.0)
    end_s = new.end_s + rng.normal(0, 0.04, len(new))
    later = ~still & (end_s > np.maximum(now_s, new.start_s + 0.1))
    new.end_s = np.where(later, end_s, new.end_s)
    new.main_end_s = np.where(later, end_s, new.main_end_s)
    return new, np.ones(len(new), bool)


def other_way(
    rng: np.random.Generator, hands: hand.Hands, traits: Traits, surface: hand.Surface, rates: Rates, now_s: float
) -> tuple[hand.Hands, NDArray[np.bool_]]:
    """Propose another start, pace, swing, aim or object of a reach; of one that has turned, another turn."""
    new, count = hands.of(slice(None)), len(hands)
    turned = new.turn_s <= now_s
    size = np.where(rng.random(count) < 0.5, 1.0, 4.0)  # small steps, and larger ones
    start_s = new.start_s + size * rng.normal(0, 0.012, count)
    moved_s = np.where(start_s < now_s, start_s - new.start_s, 0.0)
    new.start_s = new.start_s + moved_s
    new.haste = new.haste + size * rng.normal(0, 0.02, count)
    swung = size * rng.normal(0, 0.015, count)
    new.swing, new.bow = new.swing + swung, new.bow + swung
    swap = rng.random(count) < 0.3
    target = np.where(swap, hand.choose(rng, surface.odds, count), new.target)
    fresh = surface.places[target] + GRASP + rng.normal(0, rates.aim_sigma, (count, 2))
    new.goal = np.where(swap[:, None], fresh, new.goal + rng.normal(0, 1.5, (count, 2)))
    new.target = target
    same = new.other == target
    new.other = np.where(same, hand.another(rng, surface.odds, target), new.other)
    length_s = hand.reach_length_s(np.linalg.norm(new.goal - new.origin, axis=1), new.haste, rates, traits)
    new.main_end_s = new.start_s + length_s
    coming = np.isfinite(new.turn_s) & ~turned
    late_s = np.where(turned, rng.normal(0, 0.02, count) * size, 0.0)
    planned_s = new.start_s + new.turn_share * length_s
    new.turn_s = np.where(turned, np.minimum(new.turn_s + late_s, now_s), np.where(coming, planned_s, np.inf))
    new.turn_share = np.where(turned, (new.turn_s - new.start_s) / length_s, new.turn_share)
    aside = rng.normal(0, 2, (count, 2)) * size[:, None]
    aside[swap] = 0.0
    aside[new.turn_to[:, 1] == rates.outside_y, 1] = 0.0
    new.turn_to = np.where(turned[:, None], new.turn_to + aside, np.where(coming[:, None], new.turn_to, new.goal))
    aimed = surface.places[new.other] + GRASP + rng.normal(0, rates.aim_sigma, (count, 2))
    new.turn_to = np.where((same & (new.fate == hand.CHANGES))[:, None], aimed, new.turn_to)
    new.end_s = new.main_end_s.copy()
    rows = np.flatnonzero(np.isfinite(new.turn_s))
    hand.time_turn(new, rows, new.turn_s[rows], rates, traits.of(rows))
    return new, swap


def other_turn(
    rng: np.random.Generator, hands: hand.Hands, traits: Traits, surface: hand.Surface, rates: Rates, now_s: float
) -> tuple[hand.Hands, NDArray[np.bool_]]:
    """Propose that a reach turned, or did not, drawn as for a reach that begins."""
    del now_s
    new, every = hands.of(slice(None)), np.arange(len(hands))
    new.other = hand.another(rng, surface.odds, new.target)
    hand.draw_fate(new, every, rng, rates)
    hand.plan_turn(new, every, rng, rates, traits, surface)
    return new, np.ones(len(new), bool)


def log_prior(
    hands: hand.Hands, traits: Traits, places: Floats, put: Floats | None, rates: Rates, now_s: float,
    drawn: NDArray[np.bool_],
) -> Floats:  # fmt: skip
    """Log-density (N,), up to a constant of each kind, of a reach's pace and swing, and of where hands go and rest.

    places: (objects, 2). put: (2,) where the last object was put down, None = nowhere. drawn: (N,) whether the aims of
    reaches were drawn.
    """
    density = -0.5 * np.square(hands.haste / rates.reach_sigma) - 0.5 * np.square(hands.swing / rates.bow_sigma)
    miss = np.square(hands.goal - places[hands.target] - GRASP).sum(axis=1) / rates.aim_sigma**2
    turned = hands.turn_s <= now_s
    changed, quitted = turned & (hands.fate == hand.CHANGES), turned & (hands.fate == hand.WITHDRAWS)
    again = np.square(hands.turn_to - places[hands.other] - GRASP).sum(axis=1) / rates.aim_sigma**2
    aims = -0.5 * (miss + np.where(changed, again, 0.0))
    back = np.where(quitted, _log_rest(hands.turn_to, traits, None, rates), 0.0)
    first, last = rates.turn_from
    never = np.isfinite(hands.turn_s) & ((hands.turn_share < first) | (hands.turn_share > last))
    reaching = np.where(never, -np.inf, density + np.where(drawn, 0.0, aims + back))
    goes = np.isin(hands.kind, (hand.SHIFT, hand.RETREAT))
    length_s = hands.end_s - hands.start_s
    impossible = goes & ((length_s < rates.retreat_s[0]) | (length_s > rates.retreat_s[1]))
    resting = np.where(impossible, -np.inf, _log_rest(hands.goal, traits, put, rates))
    rests = goes | (hands.kind == hand.REST)
    return np.where(hands.kind == hand.REACH, reaching, np.where(rests, resting, 0.0))


def _log_rest(place: Floats, traits: Traits, put: Floats | None, rates: Rates) -> Floats:
    """Log-density (N,) of places (N, 2) to rest at: the person's own, or beside what was `put` there."""
    off = (place - np.column_stack([traits.rest_x, np.full(len(place), rates.rest_y)])) / rates.rest_spread
    outside = place[:, 1] == rates.outside_y
    off[outside, 1] = 0.0
    own = np.exp(-0.5 * np.square(off).sum(axis=1)) / (2 * np.pi * np.prod(rates.rest_spread))
    if put is not None:
        across, down = (place - put).T
        beside = np.exp(-0.5 * np.square(across / 25)) / (25 * np.sqrt(2 * np.pi)) * ((down > 30) & (down < 60)) / 30
        share = rates.rest_where_put_share
        own = np.where(outside, own, (1 - share) * own + share * beside)
    return np.log(own + 1e-12)

"""Other plans of hands: draws, given the past, of what lies ahead of them, and of whether a reach has begun."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from gaze_vlm_ros.prediction.believed_stream import Floats
from gaze_vlm_ros.sim import bench2_hand as hand
from gaze_vlm_ros.sim.bench2_rates import Rates
from gaze_vlm_ros.sim.bench2_traits import Traits

LATELY_S = 0.5  # so long ago at most a reach that is tried has begun


def other_plan(
    rng: np.random.Generator, hands: hand.Hands, traits: Traits, surface: hand.Surface, rates: Rates, now_s: float
) -> hand.Hands:
    """Return hands (N) that wait at `now_s` with other waits and reaches."""
    new = hands.of(slice(None))
    _wait_on(rng, new, traits, rates, now_s)
    hand.draw_reach(new, np.arange(len(new)), rng, rates, traits, surface)
    return new


def other_wait(
    rng: np.random.Generator, hands: hand.Hands, traits: Traits, rates: Rates, now_s: float
) -> tuple[hand.Hands, Floats]:
    """Return hands (N) that wait and are led by gaze, with another wait and pace, and gaze where it was.

    With it the log-ratio (N,) of how likely it is that gaze leads the hand by so much.
    """
    new = hands.of(slice(None))
    _wait_on(rng, new, traits, rates, now_s)
    new.haste = rng.normal(0, rates.reach_sigma, len(new))
    return new, _lead_density(new, traits, rates) - _lead_density(hands, traits, rates)


def other_look(
    rng: np.random.Generator, hands: hand.Hands, traits: Traits, surface: hand.Surface, rates: Rates
) -> hand.Hands:
    """Return hands (N) whose object is looked at since another time, or not at all."""
    new, count = hands.of(slice(None)), len(hands)
    lead_s = rates.lead_median_s * np.exp(rng.normal(0, rates.lead_sigma, count))
    guided = rng.random(count) < surface.guided_share
    new.gaze_s = np.where(guided, _expected_contact_s(new, traits) - lead_s, np.inf)
    return new


def other_end(
    rng: np.random.Generator, hands: hand.Hands, traits: Traits, surface: hand.Surface, rates: Rates, now_s: float
) -> hand.Hands:
    """Return reaches (N) that have not turned yet, with another end."""
    new = hands.of(slice(None))
    first, last = rates.turn_from
    passed = (now_s - new.start_s) / (new.main_end_s - new.start_s)
    left = np.clip((last - np.maximum(passed, first)) / (last - first), 0.0, 1.0)
    shares = np.array([rates.pause_share, rates.change_share, rates.withdraw_share])
    chances = np.concatenate([left[:, None] * shares, np.full((len(new), 1), 1 - shares.sum())], axis=1)
    ends = (chances / chances.sum(axis=1, keepdims=True)).cumsum(axis=1)
    what = (ends[:, :3] < rng.random(len(new))[:, None]).sum(axis=1)
    new.fate = np.array([hand.PAUSES, hand.CHANGES, hand.WITHDRAWS, hand.CONTACT])[what]
    new.other = hand.another(rng, surface.odds, new.target)
    new.turn_share = rng.uniform(np.clip(passed, first, last), last)
    hand.plan_turn(new, np.arange(len(new)), rng, rates, traits, surface)
    return new


def could_begin(hands: hand.Hands, now_s: float) -> NDArray[np.bool_]:
    """Return (N,) whether other_begin can be tried: hands that rest, or have just begun to reach from a rest."""
    rests = (hands.kind == hand.REST) & (hands.due_s > now_s)
    began = (hands.kind == hand.REACH) & (hands.start_s > now_s - LATELY_S) & (hands.due_s > now_s - 2 * LATELY_S)
    return rests | began


def other_begin(
    rng: np.random.Generator, hands: hand.Hands, traits: Traits, surface: hand.Surface, rates: Rates, now_s: float,
    since_s: float,
) -> tuple[hand.Hands, Floats]:  # fmt: skip
    """Propose that hands (N) that rest have begun to reach lately, and those that have begun have not.

    A reversible jump (Green 1995): with it comes the log-ratio (N,) of prior and proposals, -inf where it cannot be.
    since_s: the last moment at which it is certain what hands did.
    """
    new, every = hands.of(slice(None)), np.arange(len(hands))
    rested = hands.kind == hand.REST
    rests, reaches = np.flatnonzero(rested), np.flatnonzero(~rested)
    new.due_s[rests] = now_s - rng.uniform(0, LATELY_S, len(rests))
    waiting = hands.of(reaches)
    waiting.kind[:] = hand.REST
    _wait_on(rng, waiting, traits.of(reaches), rates, now_s)
    new.due_s[reaches] = waiting.due_s
    hand.draw_reach(new, every, rng, rates, traits, surface)
    hand.start_reach(new, rests, new.due_s[rests], hands.goal[rests], rng, rates, traits.of(rests), surface)
    place = hands.origin[reaches]
    hand.move(new, reaches, hand.REST, np.full(len(reaches), since_s), new.due_s[reaches], place, place)
    start_s = np.where(rested, new.start_s, hands.start_s)
    median_s, sigma = hand.wait_of(hands.away, rates, traits)
    waited_s = np.maximum(start_s - hands.planned_s, 1e-9)
    density = np.exp(-0.5 * np.square(np.log(waited_s / median_s) / sigma)) / (np.sqrt(2 * np.pi) * sigma * waited_s)
    goes_on = 1 - ndtr(np.log(np.maximum(now_s - hands.planned_s, 1e-9) / median_s) / sigma)
    odds = np.log(density * LATELY_S + 1e-12) - np.log(goes_on + 1e-12)
    possible = (start_s > hands.planned_s) & (~rested | (hands.start_s < start_s))
    possible &= ~(rested & ((new.end_s <= now_s) | (new.turn_s <= now_s)))
    return new, np.where(possible, np.where(rested, odds, -odds), -np.inf)


def _wait_on(rng: np.random.Generator, hands: hand.Hands, traits: Traits, rates: Rates, now_s: float) -> None:
    """Draw how long hands go on waiting that wait at `now_s`, in place."""
    median_s, sigma = hand.wait_of(hands.away, rates, traits)
    chance = ndtr(np.log(np.maximum(now_s - hands.planned_s, 1e-9) / median_s) / sigma)
    quantile = np.clip(chance + rng.random(len(hands)) * (1 - chance), 0.0, 1 - 1e-12)
    hands.due_s = np.maximum(hands.planned_s + median_s * np.exp(sigma * ndtri(quantile)), now_s)
    fidget_s = now_s + rng.exponential(1 / rates.fidget_rate_hz, len(hands))
    rests = hands.kind == hand.REST
    hands.end_s = np.where(rests, np.minimum(hands.due_s, fidget_s), hands.end_s)
    hands.main_end_s = np.where(rests, hands.end_s, hands.main_end_s)


def _expected_contact_s(hands: hand.Hands, traits: Traits) -> Floats:
    """Return when each hand was expected on its object when it was planned, as hand.draw_reach has it."""
    return np.asarray(hands.due_s + 0.9 * traits.reach_s * np.exp(hands.haste))


def _lead_density(hands: hand.Hands, traits: Traits, rates: Rates) -> Floats:
    """Return the log-density (N,), up to a constant, of how long gaze leads; -inf: gaze would come too late."""
    lead_s = _expected_contact_s(hands, traits) - hands.gaze_s
    log_lead = np.log(np.maximum(lead_s, 1e-9))
    density = -0.5 * np.square((log_lead - np.log(rates.lead_median_s)) / rates.lead_sigma) - log_lead
    return np.where(lead_s > 0, density, -np.inf)

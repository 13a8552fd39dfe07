"""Where persons of bench 2 look: fixations that a reach leads at some moments, and that wander at others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.sim.bench2_hand import CARRY, CHANGES, GRASPING, REACH, WITHDRAWS, Hands
from gaze_vlm_ros.sim.bench2_rates import Rates
from gaze_vlm_ros.sim.bench2_states import PersonState
from gaze_vlm_ros.sim.bench_scene import OBJECTS, SIGN, VIEW_WIDTH, Floats
from gaze_vlm_ros.sim.person import HEAD_S
from gaze_vlm_ros.sim.truth import Indices

IDLE, GUIDED, PLACING = range(3)  # what leads gaze: nothing, the object to be taken, the place to put it
ELSEWHERE = ((20.0, 130.0), (VIEW_WIDTH - 20.0, 440.0))  # where gaze is that is on nothing
AWAY = ((20.0, 10.0), (VIEW_WIDTH - 20.0, 70.0))  # where gaze is of who looks away: high, above what is on the wall
SIGN_CENTRE = ((SIGN[0] + SIGN[2]) / 2, (SIGN[1] + SIGN[3]) / 2)


class Sights(NamedTuple):
    """What can be looked at, in this order: each object, an obstacle, the sign, elsewhere, where an object is put."""

    places: Floats  # (sights, 2); NaN: elsewhere, or not there


OBSTACLE, AT_SIGN, ANYWHERE, DESTINATION = (len(OBJECTS) + number for number in range(4))
SIGHTS = len(OBJECTS) + 4


def attention(hands: Hands, times_s: Floats | float, rates: Rates) -> tuple[Indices, Indices]:
    """Return what leads each person's gaze at a time (N,), and the object that does where it is GUIDED (N,)."""
    goes_on = hands.kind == REACH
    object_ = np.where(
        goes_on & (hands.fate == CHANGES) & (times_s >= hands.turn_s - rates.change_lead_s), hands.other, hands.target
    )
    gave_up = goes_on & (hands.fate == WITHDRAWS) & (times_s >= hands.turn_s)
    placing = (hands.kind == CARRY) | ((hands.kind == GRASPING) & (times_s >= hands.start_s + rates.after_contact_s))
    guided = (times_s >= hands.gaze_s) & ~gave_up
    return np.where(placing, PLACING, np.where(guided, GUIDED, IDLE)), object_


def glances(mode: Indices, object_: Indices, reliability: float, obstacle: bool, rates: Rates) -> Floats:
    """Return (N, SIGHTS) the chance that a new fixation goes to each sight. Rows sum to 1.

    mode, object_: (N,) from attention(). reliability: see BenchSettings.gaze_reliability. obstacle: there is one.
    """
    chances = np.zeros((len(mode), SIGHTS))
    kept = np.sqrt(reliability)  # a take is led with this chance, and so is each of its fixations: together reliability
    for led, shares, share in ((False, rates.idle_glances, 1.0), (True, rates.aside_glances, 1 - kept)):
        rows = (mode != IDLE) == led
        chances[rows, : len(OBJECTS)] = share * shares[0] / len(OBJECTS)
        chances[rows, OBSTACLE] = share * shares[1] * obstacle
        chances[rows, AT_SIGN] = share * shares[2]
        chances[rows, ANYWHERE] = share * (shares[3] + shares[1] * (not obstacle))
    guided, placing = np.flatnonzero(mode == GUIDED), mode == PLACING
    chances[guided, object_[guided]] += kept
    chances[placing, DESTINATION] += kept
    return chances


def unusual_glances(chances: Floats, led: Led, rates: Rates) -> Floats:
    """Return (M, SIGHTS) the chances of `glances` with those of moments at which the person is not as usual.

    Who searches looks at any object and back at the sign, wherever the hand goes; who is distracted looks away; who
    acts without looking looks around as if no hand moved, and never where it goes.
    """
    found = chances.copy()
    searching, away = led.state == PersonState.SEARCHING, led.state == PersonState.DISTRACTED
    found[searching] = 0.0
    found[searching, : len(OBJECTS)] = 0.6 / len(OBJECTS)
    found[searching, AT_SIGN], found[searching, ANYWHERE] = 0.3, 0.1
    found[away] = np.eye(SIGHTS)[ANYWHERE]
    blind = np.flatnonzero(led.state == PersonState.NOT_LOOKING)
    objects, _, sign, _ = rates.idle_glances
    found[blind] = 0.0
    found[blind, : len(OBJECTS)] = objects / len(OBJECTS)
    found[blind, AT_SIGN] = sign
    acting = blind[led.mode[blind] != IDLE]
    found[acting, led.object_[acting]] = 0.0
    found[blind, ANYWHERE] = 1 - found[blind].sum(axis=1)
    return found


@dataclass(frozen=True)
class Led:
    """What leads gaze over time: from each moment until the next."""

    from_s: Floats  # (M,)
    mode: Indices  # (M,)
    object_: Indices  # (M,)
    glance: Indices  # (M,) object of a look-ahead that starts here, -1: none
    state: NDArray[np.uint8]  # (M,) PersonState


def fixations(
    rng: np.random.Generator, led: Led, sights_at: list[Sights], reliability: float, duration_s: float, rates: Rates
) -> list[tuple[float, Floats]]:
    """Return (from when, where) of each fixation. sights_at: what there is to see from each moment of `led` on."""
    made = []
    obstacle = bool(np.isfinite(sights_at[0].places[OBSTACLE, 0]))
    chances = glances(led.mode, led.object_, reliability, obstacle, rates)
    if led.state.any():
        chances = unusual_glances(chances, led, rates)
    chances = chances.cumsum(axis=1)
    now_s, number, ahead = 0.0, 0, False
    while now_s < duration_s:
        if ahead:
            sight = int(led.glance[number])
        else:
            sight = min(int(np.searchsorted(chances[number], rng.random(), side="right")), SIGHTS - 1)
        if sight == ANYWHERE:
            place = rng.uniform(*(AWAY if led.state[number] == PersonState.DISTRACTED else ELSEWHERE))
        else:
            place = sights_at[number].places[sight] + rng.normal(0, rates.fixation_spread, 2)
        made.append((now_s, place))
        end_s = now_s + rates.fixation_s[0] + rng.exponential(rates.fixation_s[1])
        # What leads gaze changes: the eyes go there, whether or not the fixation is over.
        ahead = False
        while number + 1 < len(led.from_s) and led.from_s[number + 1] <= end_s:
            number += 1
            ahead = bool(led.glance[number] >= 0)
            end_s = max(float(led.from_s[number]), now_s + 0.04)
            if ahead:
                break
        now_s = end_s
    return made


def head_follows(gaze: Floats, gain: float, rate_hz: float) -> Floats:
    """Return (T, 2) the shift of a head that follows gaze (T, 2) slowly and in part."""
    centre = (VIEW_WIDTH / 2, 0.375 * VIEW_WIDTH)
    kept = float(np.exp(-1 / (HEAD_S * rate_hz)))
    shift = np.empty_like(gaze)
    for axis in range(2):
        goals = ((gaze[:, axis] - centre[axis]) * gain * (1 - kept)).tolist()
        now, row = goals[0] / (1 - kept), []
        for goal in goals:
            now = kept * now + goal
            row.append(now)
        shift[:, axis] = row
    return shift

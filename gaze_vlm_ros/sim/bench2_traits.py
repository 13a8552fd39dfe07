"""Persons of bench 2: what differs between them. The same draw makes one person, or many to marginalize over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.sim.bench2_rates import Rates
from gaze_vlm_ros.sim.bench_scene import VIEW_WIDTH, Floats


@dataclass
class Traits:
    """How N persons move and look, each (N,)."""

    reach_s: Floats  # time of a reach of 300 units
    pace: Floats  # factor of waits
    bow: Floats  # sideways swing of a reach, as a share of the distance
    rest_x: Floats  # where the hand mostly rests, units
    head_gain: Floats  # share of a gaze shift that the head follows

    def of(self, rows: object) -> Traits:
        """Return the persons of these rows."""
        return Traits(*(getattr(self, name)[rows] for name in _NAMES))


_NAMES = ("reach_s", "pace", "bow", "rest_x", "head_gain")


def draw_traits(rng: np.random.Generator, rates: Rates, count: int) -> tuple[Traits, NDArray[np.bool_]]:
    """Return `count` persons, and (N,) whether each is left-handed."""
    left = rng.random(count) < rates.left_handed_share
    side = np.where(left, -1.0, 1.0)
    return Traits(
        rng.uniform(*rates.reach_s, count),
        np.exp(rng.uniform(np.log(rates.pace[0]), np.log(rates.pace[1]), count)),
        side * rng.uniform(*rates.bow, count),
        VIEW_WIDTH / 2 + side * rng.uniform(*rates.rest_off, count),
        rng.uniform(*rates.head_gain, count),
    ), left

"""The sign of bench 2: it changes at random times, and tells the truth in exactly its stated share of takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.sim.bench2_rates import Rates
from gaze_vlm_ros.sim.bench_scene import OBJECTS, Floats
from gaze_vlm_ros.sim.truth import Actions, Indices

_TRIES = 50  # of drawing colours, until the share is exact; the first is, in most sessions


@dataclass(frozen=True)
class Sign:
    """Colours of the sign over time."""

    from_s: Floats  # (M,) ascending, the first 0
    colours: Indices  # (M,) index into OBJECTS

    def at(self, times_s: Floats) -> Indices:
        """Return (T,) the colour at each moment."""
        return self.colours[np.searchsorted(self.from_s, times_s, side="right") - 1]


def draw_sign(rng: np.random.Generator, actions: Actions, share: float, rates: Rates, duration_s: float) -> Sign:
    """Return a sign that shows the colour of the object taken, when it is taken, in `share` of the session's takes.

    It changes as a Poisson process that knows nothing of the hand: its changes tell no time. The share is exact to half
    a take, unless it changes before too few takes: which takes it tells is drawn among those before which it changes.
    Before the last change ahead of an honest take it shows any colour; ahead of a dishonest one, never that of the
    object taken.
    """
    count = rng.poisson(rates.sign_rate_hz * duration_s)
    from_s = np.r_[0.0, np.sort(rng.uniform(0, duration_s, count))]
    about = np.asarray(np.searchsorted(actions.starts_s, from_s, side="right"))  # the take that follows each change
    takes = int((actions.starts_s < duration_s).sum())
    eligible = np.intersect1d(np.arange(takes), about)
    wanted = round(share * takes)
    targets = np.append(actions.targets, -1)
    best, least_off = Sign(from_s, np.zeros(len(from_s), int)), takes + 1
    for _ in range(_TRIES):
        honest = np.zeros(len(targets), bool)
        honest[rng.permutation(eligible)[:wanted]] = True
        drawn = Sign(from_s, _colours(rng, targets, about, honest))
        # A colour that stays may be right for the next take too, by chance: then it tells the truth once too often.
        off = abs(int((drawn.at(actions.starts_s[:takes]) == targets[:takes]).sum()) - wanted)
        if off < least_off:
            best, least_off = drawn, off
        if off == 0:
            break
    return best


def _colours(rng: np.random.Generator, targets: Indices, about: NDArray[Any], honest: NDArray[np.bool_]) -> Indices:
    """Return (M,) the colour after each change. about: (M,) the take that follows it."""
    colours = np.empty(len(about), int)
    following = np.append(about[1:], len(targets) - 1)  # of the next change
    for change, (take, then) in enumerate(zip(about.tolist(), following.tolist(), strict=True)):
        if then > take and honest[take]:
            colours[change] = targets[take]
            continue
        # It is also ahead of the takes until it changes again.
        barred = {int(targets[number]) for number in range(take, then + 1) if not honest[number]}
        free = [index for index in range(len(OBJECTS)) if index not in barred]
        colours[change] = rng.choice(free or range(len(OBJECTS)))
    return colours

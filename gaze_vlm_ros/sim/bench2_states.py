"""Parts of a session of bench 2 in which the person is not as usual: lost in the task, distracted, or not looking.

They are drawn from a random generator of their own, so that a session without any is the same to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.sim.bench_scene import Floats
from gaze_vlm_ros.sim.bench_settings import BenchSettings


class PersonState(IntEnum):
    """What a person is like at a moment: the ground truth of an assessment."""

    USUAL = 0
    SEARCHING = 1  # does not know the task: looks at any object and back at the sign, and hesitates
    DISTRACTED = 2  # looks away from the bench, and stops
    NOT_LOOKING = 3  # goes on acting with the eyes on anything but what the hand does


# Least and most length of a part, s: longer than a glance aside, short enough that several fit into a
# session. Choices, as little is published of how long such moments last at a bench.
LENGTHS_S = {
    PersonState.SEARCHING: (6.0, 14.0),
    PersonState.DISTRACTED: (4.0, 9.0),
    PersonState.NOT_LOOKING: (6.0, 14.0),
}
# Pace of what the hand does meanwhile. Who searches takes three times as long; a hand that stops is all but still.
PACES = {PersonState.SEARCHING: 0.35, PersonState.DISTRACTED: 0.01, PersonState.NOT_LOOKING: 1.0}


@dataclass(frozen=True)
class States:
    """States over time: from each moment until the next. Without parts that are not usual, one entry."""

    from_s: Floats  # (M,) ascending, the first 0
    state: NDArray[np.uint8]  # (M,) PersonState

    def at(self, times_s: Floats) -> NDArray[np.uint8]:
        """Return (T,) the state at each moment."""
        return self.state[np.maximum(np.searchsorted(self.from_s, times_s, side="right") - 1, 0)]

    def usual_time(self, times_s: Floats) -> Floats:
        """Return (T,) how far the hand is at each moment, as the time at which it would be so if all were as usual."""
        if len(self.from_s) == 1:
            return times_s
        known, done_s = self._progress()
        row = np.searchsorted(known, times_s, side="right") - 1
        return np.asarray(done_s[row] + (times_s - known[row]) * self._paces()[row])

    def real_time(self, usual_s: Floats) -> Floats:
        """Return (T,) when the hand is so far: the inverse of `usual_time`."""
        if len(self.from_s) == 1:
            return usual_s
        known, done_s = self._progress()
        row = np.maximum(np.searchsorted(done_s, usual_s, side="right") - 1, 0)
        return np.asarray(known[row] + (usual_s - done_s[row]) / self._paces()[row])

    def _paces(self) -> Floats:
        return np.array([PACES.get(PersonState(state), 1.0) for state in self.state.tolist()])

    def _progress(self) -> tuple[Floats, Floats]:
        return self.from_s, np.r_[0.0, np.cumsum(np.diff(self.from_s) * self._paces()[:-1])]


def draw_states(rng: np.random.Generator, settings: BenchSettings) -> States:
    """Draw the parts of a session: each kind begins at its rate, while the person is as usual."""
    rates = {
        PersonState.SEARCHING: settings.searching_rate_hz,
        PersonState.DISTRACTED: settings.distracted_rate_hz,
        PersonState.NOT_LOOKING: settings.not_looking_rate_hz,
    }
    total_hz = sum(rates.values())
    from_s, states = [0.0], [int(PersonState.USUAL)]
    while total_hz:
        begins_s = from_s[-1] + rng.exponential(1 / total_hz)
        if begins_s >= settings.duration_s:
            break
        kind = list(rates)[int(rng.choice(len(rates), p=np.array(list(rates.values())) / total_hz))]
        from_s += [begins_s, begins_s + rng.uniform(*LENGTHS_S[kind])]
        states += [int(kind), int(PersonState.USUAL)]
    return States(np.array(from_s), np.array(states, np.uint8))

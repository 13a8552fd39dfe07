"""What is true in a simulated session at each moment, without a picture: it costs milliseconds a session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.sim.bench_scene import Floats, Habits, Look, Slot, View

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Eyes:
    """Gaze and head, sampled at `rate_hz`. Gaze in the world, in units."""

    gaze: Floats  # (T, 2)
    state: NDArray[np.uint8]  # (T,) FIXATION, SACCADE or BLINK
    head: Floats  # (T, 3): shift of the view in units, and its roll in radians
    rate_hz: float

    def at(self, time_s: float) -> tuple[Floats, int, Floats]:
        """Return (gaze, state, head) at a time."""
        position = np.clip(time_s * self.rate_hz, 0, len(self.gaze) - 1.001)
        index, share = int(position), position - int(position)
        blend = np.array([1 - share, share])
        return blend @ self.gaze[index : index + 2], int(self.state[index]), blend @ self.head[index : index + 2]


@dataclass(frozen=True)
class Actions:
    """What the person does, in the order of time: actions do not overlap. Some may start after the session's end."""

    starts_s: Floats  # (A,) the hand is on the object
    ends_s: Floats  # (A,) the object stands where it was put
    targets: Indices  # (A,) index into OBJECTS

    def following(self, times_s: Floats) -> tuple[Indices, Floats]:
        """Return the target of the first action that starts after each moment, and its start; -1 and inf if none.

        times_s: (T,). Returns (T,) and (T,).
        """
        row = np.searchsorted(self.starts_s, times_s, side="right")
        return np.append(self.targets, -1)[row], np.append(self.starts_s, np.inf)[row]

    def going_on(self, times_s: Floats) -> Indices:
        """Return the target of the action at each moment; -1: nothing is done. times_s: (T,)."""
        row = np.searchsorted(self.starts_s, times_s, side="right") - 1
        within = (row >= 0) & (times_s < np.append(self.ends_s, -np.inf)[row])
        return np.where(within, np.append(self.targets, -1)[row], -1)


@dataclass(frozen=True)
class TruthTrack:
    """What is true at each of T moments. Lengths in units of the bench, seen straight ahead (see bench_scene)."""

    times_s: Floats  # (T,) from the start of the session
    places: Floats  # (T, objects, 2) centre of each object; of a carried one, in the hand
    scales: Floats  # (T, objects) size of each object as a share of OBJECT_SIZE
    carried: Indices  # (T,) index into OBJECTS; -1: the hand is empty
    hand: Floats  # (T, 2) fingertips
    hand_seen: NDArray[np.bool_]  # (T,) the fingertips are in the picture, and not behind something
    grip: Floats  # (T,) 0: the hand is open, 1: closed
    head: Floats  # (T, 3) shift of the view, and its roll in radians
    gaze: Floats  # (T, 2) where the person looks, on the bench
    eye_state: NDArray[np.uint8]  # (T,) FIXATION, SACCADE or BLINK
    hint: Indices  # (T,) index into OBJECTS whose colour the sign shows
    doing: Indices  # (T,) target of the action that goes on; -1: nothing
    target: Indices  # (T,) the action that goes on or comes next: its object; -1: none does
    contact_s: Floats  # (T,) when that action starts; inf: none does
    person_state: NDArray[np.uint8]  # (T,) bench2_states.PersonState

    def __len__(self) -> int:
        return len(self.times_s)


@dataclass(frozen=True)
class Script:
    """Everything that happens in a session, before anything is sampled or drawn."""

    actions: Actions
    eyes: Eyes
    look: Look
    habits: Habits
    clutter: list[Slot]  # places of things that are never taken
    truth_at: Callable[[Floats], TruthTrack]  # (T,) times in s, ascending
    view: View = field(default_factory=View)

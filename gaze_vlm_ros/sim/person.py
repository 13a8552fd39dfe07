"""What the simulated person does: takes things one after another, looking ahead of the hand.

Times in seconds from the start of the session, places in units of bench_scene.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.sim.bench_scene import GRASP, HAND_HOME, MARGIN, OBJECTS, VIEW_WIDTH, Floats, Habits, Slot
from gaze_vlm_ros.sim.truth import Eyes

TRACK_RATE_HZ = 200.0  # of the sampled gaze and head tracks
TASKS = ("tidy", "sort", "assemble")
SCENES = ("workbench", "misleading")
FIXATION, SACCADE, BLINK = 1, 2, 3  # gaze_vlm_msgs/GazeStamped


HEAD_S = 0.35  # time constant of a head that follows gaze: it is heavy
SWAY_HZ = (0.23, 0.61, 1.7, 4.1)  # of a head that holds still: sway, breathing, tremor
SWAY_SIZES = (3.0, 1.5, 0.7, 0.3)  # amplitudes, units, for a person whose tremor is 1


class UnknownTask(GazeVlmError):
    """The requested task or scene is not simulated."""


@dataclass(frozen=True)
class Take:
    """One object taken from one place and put down at another."""

    target: int  # index into OBJECTS
    source: Slot
    destination: Slot
    hint: int  # index into OBJECTS whose colour the sign shows, from `from_s` on
    from_s: float  # the previous object is down: what comes now is about this one
    reach_s: float  # the hand leaves home
    contact_s: float  # the hand is on the object: the action starts
    lift_s: float
    down_s: float  # it stands at its destination: the action ends
    home_s: float  # the hand is back
    gaze_s: float  # the eyes are on the target from here to contact_s


def plan(rng: np.random.Generator, places: list[Slot], habits: Habits, task: str, scene: str, hint_reliability: float,
         duration_s: float) -> tuple[list[Slot], list[Take]]:  # fmt: skip
    """Return where each object starts (in the order of OBJECTS), and every take until after `duration_s`."""
    require_known(task, scene)
    order = rng.permutation(len(places))
    standing = [places[i] for i in order[: len(OBJECTS)]]
    start = list(standing)
    free = [places[i] for i in order[len(OBJECTS) :]]
    takes: list[Take] = []
    now_s, last = 0.0, -1
    while now_s < duration_s:
        target = _choose(rng, standing, task, last)
        others = [i for i in range(len(OBJECTS)) if i != target]
        honest = scene == "workbench" and rng.random() < hint_reliability
        hint = target if honest else int(rng.choice(others))
        source, destination = standing[target], free.pop(rng.integers(len(free)))
        reach_s = now_s + rng.uniform(0.55, 1.0)
        contact_s = reach_s + habits.reach_s * rng.uniform(0.92, 1.1)
        lift_s = contact_s + rng.uniform(0.12, 0.22)
        down_s = lift_s + rng.uniform(0.6, 0.8)
        home_s = down_s + rng.uniform(0.35, 0.5)
        gaze_s = reach_s - habits.gaze_lead_s * rng.uniform(0.8, 1.2)
        takes.append(Take(target, source, destination, hint, now_s, reach_s, contact_s, lift_s, down_s, home_s, gaze_s))
        standing[target] = destination
        free.append(source)
        now_s, last = home_s, target
    return start, takes


def require_known(task: str, scene: str) -> None:
    """Raise UnknownTask unless both are simulated."""
    if task not in TASKS:
        raise UnknownTask(f"task is {task!r}, expected one of {', '.join(TASKS)}")
    if scene not in SCENES:
        raise UnknownTask(f"scene is {scene!r}, expected one of {', '.join(SCENES)}")


def task_weights(task: str, x: Floats) -> Floats:
    """Return how much more likely each object at x (units) is to be taken next. The task only shifts the odds."""
    return {"tidy": np.ones(len(x)), "sort": 1.5 - x / VIEW_WIDTH, "assemble": 0.5 + x / VIEW_WIDTH}[task]


def _choose(rng: np.random.Generator, standing: list[Slot], task: str, last: int) -> int:
    """Choose the next object, never the same twice in a row: order does not decide."""
    x = np.array([slot.at[0] for slot in standing])
    weights = task_weights(task, x)
    if last >= 0:
        weights[last] = 0
    return int(rng.choice(len(x), p=weights / weights.sum()))


def minimum_jerk(progress: Floats | float) -> Floats | float:
    """Return the share of the way covered at a share of the time (Flash & Hogan 1985)."""
    p = np.clip(progress, 0.0, 1.0)
    return p**3 * (10 - 15 * p + 6 * p**2)


def hand_at(takes: list[Take], time_s: float) -> tuple[Floats, float, Take | None]:
    """Return the place of the fingertips, how far the hand is closed (0 to 1), and the take whose object it carries."""
    take = next((t for t in takes if time_s < t.home_s), takes[-1])
    source, destination = take.source.at + GRASP, take.destination.at + GRASP
    if time_s < take.reach_s:
        return HAND_HOME.copy(), 0.0, None
    if time_s < take.contact_s:
        # Reaching speeds up fast and homes in slowly: its peak is before the middle.
        share = ((time_s - take.reach_s) / (take.contact_s - take.reach_s)) ** 0.7
        return HAND_HOME + (source - HAND_HOME) * minimum_jerk(share), 0.0, None
    if time_s < take.lift_s:
        return source, (time_s - take.contact_s) / (take.lift_s - take.contact_s), None
    if time_s < take.down_s:
        share = (time_s - take.lift_s) / (take.down_s - take.lift_s)
        arc = np.array([0.0, -30.0 * np.sin(np.pi * share)])  # lifted on the way
        return source + (destination - source) * minimum_jerk(share) + arc, 1.0, take
    share = (time_s - take.down_s) / (take.home_s - take.down_s)
    return destination + (HAND_HOME - destination) * minimum_jerk(share), float(max(0.0, 1 - 3 * share)), None


def watch(rng: np.random.Generator, takes: list[Take], standing: list[Slot], habits: Habits, duration_s: float) -> Eyes:
    """Simulate where the person looks, and how the head follows."""
    count = int(np.ceil((duration_s + 1) * TRACK_RATE_HZ)) + 2
    times = np.arange(count) / TRACK_RATE_HZ
    gaze, state = eyes_on(rng, _fixations(rng, takes, standing), times, duration_s)
    return Eyes(gaze, state, _head(rng, gaze, times, habits), TRACK_RATE_HZ)


def eyes_on(
    rng: np.random.Generator, fixations: list[tuple[float, Floats]], times: Floats, duration_s: float
) -> tuple[Floats, NDArray[np.uint8]]:
    """Return gaze (T, 2) and eye state (T,) at `times` for fixations (from when, where), with saccades and blinks."""
    gaze, state = _move_eyes(fixations, times)
    wobble = rng.normal(0, 1.2, gaze.shape)  # fixational drift and tremor
    gaze = gaze + np.apply_along_axis(lambda x: np.convolve(x, np.ones(9) / 9, "same"), 0, wobble)
    blink_s = 0.0
    while (blink_s := blink_s + rng.exponential(4.0) + 0.4) < duration_s:
        state[(times >= blink_s) & (times < blink_s + rng.uniform(0.1, 0.3))] = BLINK
    return gaze, state


def _fixations(rng: np.random.Generator, takes: list[Take], standing: list[Slot]) -> list[tuple[float, Floats]]:
    """(from when, where), in order; each holds until the next."""
    where = [np.array(slot.at) for slot in standing]
    plan: list[tuple[float, Floats]] = []
    for take in takes:
        glance_s = take.from_s
        while glance_s < take.gaze_s - 0.12:
            # Before it is decided: anything on the bench, now and then the hand.
            place = HAND_HOME - (0, 30) if rng.random() < 0.2 else where[rng.integers(len(where))]
            plan.append((glance_s, place + rng.normal(0, 10, 2)))
            glance_s += rng.uniform(0.2, 0.5)
        plan.append((take.gaze_s, np.array(take.source.at) + rng.normal(0, 7, 2)))
        if rng.random() < 0.12:
            # A check of something else on the way; the eyes come back before contact.
            away_s = take.reach_s + 0.25 * (take.contact_s - take.reach_s)
            plan.append((away_s, where[rng.integers(len(where))] + rng.normal(0, 10, 2)))
            plan.append((away_s + 0.25, np.array(take.source.at) + rng.normal(0, 7, 2)))
        plan.append((take.contact_s + rng.uniform(-0.05, 0.1), np.array(take.destination.at) + rng.normal(0, 9, 2)))
        where[take.target] = np.array(take.destination.at)
    return sorted(plan, key=lambda fixation: fixation[0])


def _move_eyes(fixations: list[tuple[float, Floats]], times: Floats) -> tuple[Floats, NDArray[np.uint8]]:
    gaze = np.empty((len(times), 2))
    state = np.full(len(times), FIXATION, np.uint8)
    position = fixations[0][1]
    for (start_s, place), following in zip(fixations, [*fixations[1:], (np.inf, None)], strict=True):
        # Main sequence: 2.2 ms a degree and 21 ms (Carpenter 1988); the view spans about 80 degrees.
        degrees = float(np.linalg.norm(place - position)) * 80 / VIEW_WIDTH
        length_s = 0.021 + 0.0022 * degrees
        during = slice(*np.searchsorted(times, (start_s, following[0])))
        share = (times[during] - start_s) / length_s
        gaze[during] = position + (place - position) * np.asarray(minimum_jerk(share))[:, None]
        state[during] = np.where(share < 1, SACCADE, FIXATION)
        position = place
    gaze[times < fixations[0][0]] = fixations[0][1]
    return gaze, state


def _head(rng: np.random.Generator, gaze: Floats, times: Floats, habits: Habits) -> Floats:
    """The head follows gaze slowly and in part, and is never still."""
    centre = np.array([VIEW_WIDTH / 2, 0.375 * VIEW_WIDTH])
    goal = (gaze - centre) * habits.head_gain
    shift = np.empty_like(goal)
    current = goal[0]
    smoothing = 1 - np.exp(-1 / (HEAD_S * TRACK_RATE_HZ))
    for index, target in enumerate(goal):
        current = current + smoothing * (target - current)
        shift[index] = current
    sway = head_sway(rng, times) * habits.tremor
    shift = np.clip(shift + sway[:, :2], -MARGIN * 0.6, MARGIN * 0.6)
    return np.column_stack([shift, sway[:, 2] * 0.003])


def head_sway(rng: np.random.Generator, times: Floats) -> Floats:
    """Return (T, 3) how a head that holds still moves: x and y in units, and a third for its roll."""
    phases = rng.uniform(0, 2 * np.pi, (3, 4))
    return (np.sin(2 * np.pi * times[:, None, None] * np.array(SWAY_HZ) + phases) * SWAY_SIZES).sum(axis=2)

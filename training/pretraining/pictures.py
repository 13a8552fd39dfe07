"""Endless observations of the simulated bench: things in random places, and a hand on a random way among them.

There is no person with a plan: the hand moves from anywhere to anywhere, and what it does next does not exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.sim.bench_renderer import BenchRenderer, Carried
from gaze_vlm_ros.sim.bench_scene import GRASP, HAND_HOME, OBJECTS, VIEW_WIDTH, Slot, habits, look, slots
from gaze_vlm_ros.sim.bench_sprites import CLUTTER
from training.pretraining.settings import PretrainSettings

Floats = NDArray[np.float64]
_PER_BENCH = 8  # observations of one bench, because drawing wood and wall takes longer than the rest
_CARRYING = 0.2  # share of observations in which the hand holds a thing


@dataclass(frozen=True)
class Observation:
    """Some pictures, and what is true in the last one. Places are shares of the picture's width and height."""

    frames: list[NDArray[np.uint8]]  # (H, W, 3) RGB, oldest first
    places: Floats  # (objects, 2) centre of each thing
    grasps: Floats  # (objects, 2) where fingertips hold each thing
    hand: Floats  # (2,) fingertips
    carried: int | None  # index into OBJECTS of what the hand holds


def observations(settings: PretrainSettings, frames: int, stream: int) -> Iterator[Observation]:
    """Yield observations of `frames` pictures without end, always the same for the same settings and `stream`."""
    rng = np.random.default_rng([settings.seed, 7, stream, frames])
    size = (settings.width, settings.width * 3 // 4)
    while True:
        person = habits(f"{rng.integers(1 << 30)}"[:4])
        places = slots(rng)
        order = rng.permutation(len(places))
        renderer = BenchRenderer(size, look(rng), person, [places[i] for i in order[: len(CLUTTER)]])
        free = [places[i] for i in order[len(CLUTTER) :]]
        for _ in range(_PER_BENCH):
            yield _observe(rng, renderer, free, frames, settings)


def _observe(
    rng: np.random.Generator, renderer: BenchRenderer, free: list[Slot], frames: int, settings: PretrainSettings
) -> Observation:
    chosen = rng.permutation(len(free))[: len(OBJECTS)]
    standing: list[Slot | None] = [free[i] for i in chosen]
    carried = int(rng.integers(len(OBJECTS))) if rng.random() < _CARRYING else None
    if carried is not None:
        standing[carried] = None
    way = _way(rng, standing, frames, settings.frame_step_s)
    held = None if carried is None else Carried(carried, 1.0)
    hint, grip = int(rng.integers(len(OBJECTS))), float(carried is not None)
    head = np.concatenate([rng.normal(0, 14, 2), rng.normal(0, 0.01, 1)])
    drift = np.concatenate([rng.normal(0, 4, 2), rng.normal(0, 0.003, 1)])  # per frame
    heads = [head + number * drift for number in range(frames)]
    pictures = [
        renderer.render(standing, held, hint, hand, grip, turned) for hand, turned in zip(way, heads, strict=True)
    ]
    centres = np.array([way[-1] - GRASP if slot is None else slot.at for slot in standing])
    share = np.array([settings.width, settings.width * 3 // 4])
    places, grasps, hand = (
        renderer.world_to_image(points, heads[-1]) / share for points in (centres, centres + GRASP, way[-1])
    )
    return Observation(pictures, places, grasps, hand, carried)


def _way(rng: np.random.Generator, standing: list[Slot | None], frames: int, step_s: float) -> list[Floats]:
    """Return the place of the fingertips in each frame, in units: a part of a straight way at an even speed."""
    start, end = _end_of_way(rng, standing), _end_of_way(rng, standing)
    if rng.random() < 0.15:
        end = start  # at rest
    last = rng.uniform(0.3, 1.0)  # share of the way in the last frame
    per_frame = step_s / rng.uniform(0.6, 1.8)
    shares = np.clip(last - per_frame * np.arange(frames)[::-1], 0.0, 1.0)
    return [start + (end - start) * share for share in shares]


def _end_of_way(rng: np.random.Generator, standing: list[Slot | None]) -> Floats:
    """A thing, home, or anywhere on the bench."""
    kind = rng.random()
    if kind < 0.55:
        at = [slot.at for slot in standing if slot is not None]
        return np.array(at[rng.integers(len(at))]) + GRASP + rng.normal(0, 8, 2)
    if kind < 0.7:
        return HAND_HOME + rng.normal(0, 8, 2)
    return np.array([rng.uniform(40, VIEW_WIDTH - 40), rng.uniform(170, 470)])

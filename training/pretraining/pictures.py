"""Endless observations of the simulated bench: things in random places, and a hand on a random way among them.

There is no person with a plan: the hand moves from anywhere to anywhere, and what it does next does not exist.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.sim.bench2 import in_view, person_of, surroundings
from gaze_vlm_ros.sim.bench2_layout import Layout, draw_layout, free_place, scale_at
from gaze_vlm_ros.sim.bench2_rates import BENCH_2
from gaze_vlm_ros.sim.bench_renderer import BENCH_1_VIEW, BenchRenderer, Carried
from gaze_vlm_ros.sim.bench_scene import GRASP, HAND_HOME, OBJECTS, VIEW_WIDTH, Slot, View, habits, look, slots
from gaze_vlm_ros.sim.bench_settings import BenchSettings
from gaze_vlm_ros.sim.bench_sprites import CLUTTER
from training.pretraining.settings import PretrainSettings, Stage

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
    hand_seen: bool  # whether they are in the last picture, with nothing before them
    carried: int | None  # index into OBJECTS of what the hand holds


def observations(settings: PretrainSettings, stage: Stage, stream: int) -> Iterator[Observation]:
    """Yield observations of a stage without end, always the same for the same settings, frames and `stream`."""
    rng = np.random.default_rng([settings.seed, 7, stream, stage.frames])
    size = (settings.width, settings.width * 3 // 4)
    for bench in itertools.cycle(stage.benches):
        drawn = _bench_2(rng, size) if bench == 2 else _bench_1(rng, size)
        for _ in range(_PER_BENCH):
            yield _observe(rng, drawn, stage.frames, settings)


@dataclass(frozen=True)
class _Bench:
    """One bench and who sits at it."""

    renderer: BenchRenderer
    view: View
    things: Callable[[], list[Slot]]  # draws a place for each thing
    home: Floats  # (2,) where the hand rests, units
    head: Floats  # (3,) how the camera is held: shift x and y, units; roll, rad


def _bench_1(rng: np.random.Generator, size: tuple[int, int]) -> _Bench:
    person = habits(f"{rng.integers(1 << 30)}"[:4])
    places = slots(rng)
    order = rng.permutation(len(places))
    renderer = BenchRenderer(size, look(rng), person, [places[i] for i in order[: len(CLUTTER)]])
    free = [places[i] for i in order[len(CLUTTER) :]]

    def things() -> list[Slot]:
        return [free[i] for i in rng.permutation(len(free))[: len(OBJECTS)]]

    return _Bench(renderer, BENCH_1_VIEW, things, HAND_HOME, np.zeros(3))


def _bench_2(rng: np.random.Generator, size: tuple[int, int]) -> _Bench:
    person = person_of(f"pretraining {rng.integers(1 << 30)}")
    layout = draw_layout(rng, BENCH_2)
    seen, view = surroundings(rng, BenchSettings(bench=2), person, layout)
    renderer = BenchRenderer(size, seen, person.habits, layout.clutter, view)
    clutter = [slot.at for slot in layout.clutter]

    def things() -> list[Slot]:
        found = Layout(np.array(clutter), [], layout.occluders, layout.kept_free)
        for _ in OBJECTS:
            found.places = np.vstack([found.places, free_place(rng, BENCH_2, found, -1)])
        placed = found.places[len(clutter) :].tolist()
        return [Slot((x, y), float(scale_at(BENCH_2, y))) for x, y in placed]

    home = np.array([float(person.traits.rest_x[0]), BENCH_2.rest_y])
    return _Bench(renderer, view, things, home, np.array([0.0, person.tilt, person.roll]))


def _observe(rng: np.random.Generator, bench: _Bench, frames: int, settings: PretrainSettings) -> Observation:
    standing: list[Slot | None] = list(bench.things())
    carried = int(rng.integers(len(OBJECTS))) if rng.random() < _CARRYING else None
    if carried is not None:
        standing[carried] = None
    way = _way(rng, standing, bench.home, frames, settings.frame_step_s)
    held = None if carried is None else Carried(carried, 1.0)
    hint, grip = int(rng.integers(len(OBJECTS))), float(carried is not None)
    head = bench.head + np.concatenate([rng.normal(0, 14, 2), rng.normal(0, 0.01, 1)])
    drift = np.concatenate([rng.normal(0, 4, 2), rng.normal(0, 0.003, 1)])  # per frame
    heads = [head + number * drift for number in range(frames)]
    pictures = [
        bench.renderer.render(standing, held, hint, hand, grip, turned) for hand, turned in zip(way, heads, strict=True)
    ]
    centres = np.array([way[-1] - GRASP if slot is None else slot.at for slot in standing])
    share = np.array([settings.width, settings.width * 3 // 4])
    places, grasps, hand = (
        bench.renderer.world_to_image(points, heads[-1]) / share for points in (centres, centres + GRASP, way[-1])
    )
    seen = bool(in_view(way[-1], heads[-1], bench.view, VIEW_WIDTH * 3 / 4))
    return Observation(pictures, places, grasps, hand, seen, carried)


def _way(
    rng: np.random.Generator, standing: list[Slot | None], home: Floats, frames: int, step_s: float
) -> list[Floats]:
    """Return the place of the fingertips in each frame, in units: a part of a straight way at an even speed."""
    start, end = _end_of_way(rng, standing, home), _end_of_way(rng, standing, home)
    if rng.random() < 0.15:
        end = start  # at rest
    last = rng.uniform(0.3, 1.0)  # share of the way in the last frame
    per_frame = step_s / rng.uniform(0.6, 1.8)
    shares = np.clip(last - per_frame * np.arange(frames)[::-1], 0.0, 1.0)
    return [start + (end - start) * share for share in shares]


def _end_of_way(rng: np.random.Generator, standing: list[Slot | None], home: Floats) -> Floats:
    """A thing, home, or anywhere on the bench."""
    kind = rng.random()
    if kind < 0.55:
        at = [slot.at for slot in standing if slot is not None]
        return np.array(at[rng.integers(len(at))]) + GRASP + rng.normal(0, 8, 2)
    if kind < 0.7:
        return home + rng.normal(0, 8, 2)
    return np.array([rng.uniform(40, VIEW_WIDTH - 40), rng.uniform(170, 470)])

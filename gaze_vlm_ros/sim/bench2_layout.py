"""Where things are on bench 2: objects close together, clutter, and what stands in the way of the view."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gaze_vlm_ros.sim.bench2_rates import Rates
from gaze_vlm_ros.sim.bench_scene import OBJECTS, VIEW_WIDTH, Floats, Occluder, Slot
from gaze_vlm_ros.sim.bench_sprites import CLUTTER

BOUNDS = ((70.0, 186.0), (VIEW_WIDTH - 70.0, 335.0))  # of objects' centres: all of each is in view, above the panel
_FAR_SCALE, _NEAR_SCALE = 0.86, 1.12  # of things at the far and at the near bound, as on bench 1


@dataclass
class Layout:
    """Things on one session's bench."""

    places: Floats  # (objects, 2) where objects stand now
    clutter: list[Slot]
    occluders: tuple[Occluder, ...]
    kept_free: list[tuple[float, float]] = field(default_factory=list)  # x from and to, where nothing is put


def draw_layout(rng: np.random.Generator, rates: Rates) -> Layout:
    """Draw the bench of a session."""
    occluders, kept_free = [], []
    if rng.random() < rates.panel_share:
        left, width = rng.uniform(20, 360), rng.uniform(180, 300)
        occluders.append(Occluder(left, rng.uniform(376, 392), left + width, 700.0, (112, 116, 124)))
    if rng.random() < rates.pillar_share:
        middle, half = rng.uniform(150, 490), rng.uniform(24, 34)
        occluders.append(Occluder(middle - half, rng.uniform(176, 226), middle + half, 700.0, (86, 78, 70)))
        kept_free.append((middle - half - 42, middle + half + 42))
    layout = Layout(np.empty((0, 2)), [], tuple(occluders), kept_free)
    for _ in OBJECTS:
        layout.places = np.vstack([layout.places, free_place(rng, rates, layout, -1)])
    taken = layout.places
    for _ in CLUTTER:
        x, y = free_place(rng, rates, layout, -1)
        layout.places = np.vstack([layout.places, (x, y)])
        layout.clutter.append(Slot((float(x), float(y)), float(scale_at(rates, y))))
    layout.places = taken
    return layout


def free_place(rng: np.random.Generator, rates: Rates, layout: Layout, moved: int) -> Floats:
    """Return (2,) where an object can be put: beside another or anywhere, at least `least_distance` from all others.

    moved: index of the object that is put there, -1 = none of those that stand.
    """
    others = np.delete(layout.places, moved, axis=0) if moved >= 0 else layout.places
    tries = 200
    place = rng.uniform(*BOUNDS, (tries, 2))
    if len(others):
        beside = rng.random(tries) < rates.beside_share
        angle, away = rng.uniform(0, 2 * np.pi, tries), rng.uniform(rates.least_distance, rates.beside, tries)
        near = (
            others[rng.integers(len(others), size=tries)] + (np.column_stack([np.cos(angle), np.sin(angle)]).T * away).T
        )
        place = np.where(beside[:, None], near, place)
    fits = np.all((place >= BOUNDS[0]) & (place <= BOUNDS[1]), axis=1)
    for left, right in layout.kept_free:
        fits &= (place[:, 0] < left) | (place[:, 0] > right)
    distance = np.linalg.norm(place[:, None] - others, axis=2).min(axis=1) if len(others) else np.full(tries, np.inf)
    good = np.flatnonzero(fits & (distance >= rates.least_distance))
    return place[good[0]] if len(good) else place[np.argmax(np.where(fits, distance, -1.0))]


def scale_at(rates: Rates, y: Floats | float) -> Floats | float:
    """Return the size of an object that stands at y: what is nearer is larger."""
    share = (y - BOUNDS[0][1]) / (BOUNDS[1][1] - BOUNDS[0][1])
    return rates.object_scale * (_FAR_SCALE + (_NEAR_SCALE - _FAR_SCALE) * share)

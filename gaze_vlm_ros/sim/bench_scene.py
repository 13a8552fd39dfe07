"""What is on the simulated bench, and where. Lengths in units: px of a 640 px wide view, whatever is rendered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

VIEW_WIDTH = 640.0  # units that the camera sees across
MARGIN = 160.0  # units of world around the view on each side: as far as the head can turn

Colour = tuple[int, int, int]  # RGB
Floats = NDArray[np.float64]  # places are (..., 2) units: x right, y down, from the top left of the view ahead


class BenchObject(NamedTuple):
    """One thing that can be taken: known by its colour and by its shape."""

    colour_name: str
    kind: str
    colour: Colour

    @property
    def name(self) -> str:
        """Colour and kind, as in labels."""
        return f"{self.colour_name} {self.kind}"


OBJECTS = (
    BenchObject("red", "mug", (205, 42, 38)),
    BenchObject("blue", "box", (38, 84, 205)),
    BenchObject("green", "bottle", (38, 150, 62)),
    BenchObject("yellow", "screwdriver", (242, 205, 32)),
    BenchObject("orange", "tape", (242, 128, 24)),
    BenchObject("purple", "sponge", (138, 58, 178)),
)
VERB = "take"

# Places for things: three rows, the far one smaller, four columns.
_ROWS = (198.0, 282.0, 368.0)
_ROW_SCALE = (0.86, 0.98, 1.12)
_COLUMNS = (96.0, 246.0, 396.0, 546.0)
OBJECT_SIZE = 106.0  # units, of a sprite in the middle row
WALL_HEIGHT = 142.0  # units from the top of the view to the bench's far edge
SIGN = (424.0, 22.0, 596.0, 118.0)  # x0, y0, x1, y1 of the coloured sign on the wall
HAND_HOME = np.array([330.0, 452.0])
GRASP = np.array([0.0, 22.0])  # where the fingertips hold a thing, from its centre: below, so that it stays in view
SHOULDER = np.array([430.0, 760.0])  # where the arm comes from, below the view


@dataclass(frozen=True)
class Slot:
    """A place on the bench."""

    at: tuple[float, float]
    scale: float  # of things that stand there


def slots(rng: np.random.Generator) -> list[Slot]:
    """Return all twelve places, each a little off the grid."""
    made = []
    for y, scale in zip(_ROWS, _ROW_SCALE, strict=True):
        for x in _COLUMNS:
            dx, dy = rng.uniform(-14, 14), rng.uniform(-8, 8)
            made.append(Slot((x + dx, y + dy), scale))
    return made


@dataclass(frozen=True)
class Look:
    """Surfaces and light of one session."""

    wood: Colour
    wall: Colour
    brightness: float
    texture_seed: int


def look(rng: np.random.Generator) -> Look:
    """Draw one of many benches and rooms."""
    wood = ((176, 132, 88), (150, 108, 70), (198, 164, 120), (128, 118, 108))[rng.integers(4)]
    wall = ((214, 212, 204), (188, 198, 206), (206, 196, 178))[rng.integers(3)]
    return Look(wood, wall, float(rng.uniform(0.85, 1.1)), int(rng.integers(1 << 31)))


@dataclass(frozen=True)
class Habits:
    """How one person looks and moves. Durations in seconds."""

    skin: Colour
    sleeve: Colour
    reach_s: float  # from home to contact
    gaze_lead_s: float  # gaze is on the target so long before the hand starts
    head_gain: float  # share of a gaze shift that the head follows
    tremor: float  # units, of the head


def habits(person: str) -> Habits:
    """Return the habits of a person: always the same for the same name."""
    rng = np.random.default_rng(np.frombuffer(person.encode().ljust(4, b"\0"), np.uint8))
    skin = ((236, 188, 154), (198, 142, 104), (146, 98, 66), (222, 170, 134))[rng.integers(4)]
    sleeve = ((62, 72, 92), (92, 96, 100), (70, 84, 66), (110, 92, 78))[rng.integers(4)]
    return Habits(
        skin,
        sleeve,
        reach_s=float(rng.uniform(1.3, 1.7)),
        gaze_lead_s=float(rng.uniform(0.25, 0.45)),
        head_gain=float(rng.uniform(0.15, 0.3)),
        tremor=float(rng.uniform(1.0, 2.5)),
    )


class Occluder(NamedTuple):
    """A thing that stands between the camera and the bench, and hides a part of it. Edges in units."""

    left: float
    top: float
    right: float
    bottom: float
    colour: Colour


@dataclass(frozen=True)
class View:
    """How one session is seen: what differs between cameras, seats and rooms. The defaults are those of bench 1."""

    shoulder: tuple[float, float] = (float(SHOULDER[0]), float(SHOULDER[1]))  # where the arm comes from
    zoom: float = 1.0  # a lens with a longer focal length: above 1
    occluders: tuple[Occluder, ...] = ()
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)  # of the light: factor of red, green and blue
    box_scale: float = 1.0  # side of an object's box in the truth, as a share of OBJECT_SIZE
    shapes: int = 0  # which shapes of objects, see bench_sprites

    def seen(self, points: Floats, head: Floats, height: float) -> Floats:
        """Convert points (..., 2) on the bench to places in the view, in units.

        head: (3,), or one for each point as arrays broadcast. height: of the view, in units.
        """
        centre = np.array([VIEW_WIDTH / 2, height / 2])
        cosine, sine = np.cos(head[..., 2]), np.sin(head[..., 2])
        ahead = points - centre - head[..., :2]
        if head.ndim == 1:
            turned = ahead @ np.array([[cosine, sine], [-sine, cosine]])
        else:
            x, y = ahead[..., 0], ahead[..., 1]
            turned = np.stack([x * cosine - y * sine, x * sine + y * cosine], axis=-1)
        return turned * self.zoom + centre

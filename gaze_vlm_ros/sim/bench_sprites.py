"""Pictures of the things on the bench, drawn large and reduced, so that edges are smooth at every size."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.sim.bench_scene import OBJECTS, Colour

Rgba = NDArray[np.uint8]
_SIDE = 400  # px, of the square on which a thing is drawn before it is reduced

Canvas = NDArray[np.uint8]


def _shade(colour: Colour, factor: float) -> tuple[int, int, int, int]:
    red, green, blue = (int(min(255, channel * factor)) for channel in colour)
    return red, green, blue, 255


def _ellipse(
    canvas: Canvas, centre: tuple[int, int], axes: tuple[int, int], colour: tuple[int, ...], thickness: int = -1
) -> None:
    cv2.ellipse(canvas, centre, axes, 0, 0, 360, colour, thickness, cv2.LINE_AA)


def _polygon(canvas: Canvas, points: list[tuple[int, int]], colour: tuple[int, ...]) -> None:
    cv2.fillPoly(canvas, [np.array(points, np.int32)], colour, cv2.LINE_AA)


def _mug(canvas: Canvas, colour: Colour) -> None:
    _ellipse(canvas, (318, 205), (52, 62), _shade(colour, 0.8), 24)
    _polygon(canvas, [(80, 90), (300, 90), (286, 320), (94, 320)], _shade(colour, 1.0))
    _ellipse(canvas, (190, 320), (96, 34), _shade(colour, 1.0))
    _polygon(canvas, [(108, 100), (150, 100), (150, 335), (116, 330)], _shade(colour, 1.25))
    _polygon(canvas, [(262, 100), (298, 95), (284, 322), (252, 335)], _shade(colour, 0.72))
    _ellipse(canvas, (190, 90), (110, 36), _shade(colour, 1.15))
    _ellipse(canvas, (190, 92), (92, 27), _shade(colour, 0.38))


def _box(canvas: Canvas, colour: Colour) -> None:
    _polygon(canvas, [(40, 150), (250, 190), (250, 350), (40, 300)], _shade(colour, 0.95))
    _polygon(canvas, [(250, 190), (365, 130), (365, 285), (250, 350)], _shade(colour, 0.62))
    _polygon(canvas, [(40, 150), (160, 95), (365, 130), (250, 190)], _shade(colour, 1.35))
    cv2.line(canvas, (145, 170), (262, 112), (232, 232, 226, 255), 16, cv2.LINE_AA)
    cv2.line(canvas, (145, 170), (145, 325), (215, 215, 208, 255), 16, cv2.LINE_AA)


def _bottle(canvas: Canvas, colour: Colour) -> None:
    _polygon(canvas, [(172, 40), (228, 40), (228, 120), (282, 190), (282, 350), (118, 350), (118, 190), (172, 120)],
             _shade(colour, 1.0))  # fmt: skip
    _ellipse(canvas, (200, 350), (82, 26), _shade(colour, 0.9))
    _polygon(canvas, [(140, 195), (168, 165), (168, 350), (140, 350)], _shade(colour, 1.5))
    _polygon(canvas, [(250, 200), (280, 195), (280, 352), (250, 360)], _shade(colour, 0.65))
    cv2.rectangle(canvas, (118, 225), (282, 305), (236, 236, 226, 255), -1, cv2.LINE_AA)
    cv2.rectangle(canvas, (164, 22), (236, 66), (60, 62, 66, 255), -1, cv2.LINE_AA)


def _screwdriver(canvas: Canvas, colour: Colour) -> None:
    cv2.line(canvas, (214, 186), (372, 60), (128, 132, 138, 255), 24, cv2.LINE_AA)
    cv2.line(canvas, (216, 180), (368, 58), (206, 210, 214, 255), 9, cv2.LINE_AA)
    cv2.line(canvas, (66, 306), (206, 192), _shade(colour, 0.85), 84, cv2.LINE_AA)
    cv2.line(canvas, (62, 292), (196, 182), _shade(colour, 1.1), 40, cv2.LINE_AA)
    cv2.line(canvas, (86, 316), (212, 214), _shade(colour, 0.6), 9, cv2.LINE_AA)
    cv2.line(canvas, (176, 218), (206, 252), (44, 44, 46, 255), 14, cv2.LINE_AA)


def _tape(canvas: Canvas, colour: Colour) -> None:
    _ellipse(canvas, (200, 232), (150, 112), _shade(colour, 0.62))
    _ellipse(canvas, (200, 196), (150, 112), _shade(colour, 1.05))
    _ellipse(canvas, (200, 196), (122, 88), _shade(colour, 0.88), 5)
    _ellipse(canvas, (200, 196), (82, 58), (222, 204, 170, 255))
    _ellipse(canvas, (200, 204), (68, 46), (92, 74, 54, 255))


def _sponge(canvas: Canvas, colour: Colour) -> None:
    _polygon(canvas, [(30, 210), (245, 250), (245, 330), (30, 288)], _shade(colour, 0.9))
    _polygon(canvas, [(245, 250), (372, 186), (372, 262), (245, 330)], _shade(colour, 0.6))
    _polygon(canvas, [(30, 210), (155, 150), (372, 186), (245, 250)], _shade(colour, 1.3))
    rng = np.random.default_rng(4)
    for _ in range(26):
        x, y = rng.uniform(0.08, 0.92, 2)
        centre = (int(30 + 215 * x + 125 * y), int(210 + 40 * x - 60 * y))
        _ellipse(canvas, centre, (8, 4), _shade(colour, 0.78))
    cv2.line(canvas, (34, 262), (245, 304), (96, 188, 120, 255), 20, cv2.LINE_AA)


def _ruler(canvas: Canvas, _: Colour) -> None:
    _polygon(canvas, [(20, 260), (352, 120), (380, 172), (50, 312)], (190, 192, 196, 255))
    for i in range(17):
        x, y = 36 + i * 19, 262 - i * 8
        cv2.line(canvas, (x, y), (x + 9, y + (22 if i % 4 == 0 else 12)), (70, 72, 76, 255), 4, cv2.LINE_AA)


def _bolts(canvas: Canvas, _: Colour) -> None:
    for x, y in ((110, 230), (210, 170), (280, 270), (180, 300)):
        _ellipse(canvas, (x, y + 12), (46, 36), (78, 80, 84, 255))
        points = [(int(x + 46 * np.cos(a)), int(y + 36 * np.sin(a))) for a in np.arange(6) * np.pi / 3]
        _polygon(canvas, points, (168, 170, 176, 255))
        _ellipse(canvas, (x, y), (18, 14), (62, 64, 68, 255))


def _notebook(canvas: Canvas, _: Colour) -> None:
    _polygon(canvas, [(60, 120), (300, 90), (360, 290), (96, 330)], (84, 80, 78, 255))
    _polygon(canvas, [(66, 112), (298, 84), (354, 278), (100, 316)], (228, 226, 216, 255))
    for i in range(6):
        y = 132 + 28 * i
        cv2.line(canvas, (98 + 5 * i, y + 8), (296 + 8 * i, y - 16), (150, 158, 170, 255), 4, cv2.LINE_AA)


_DRAW: dict[str, Callable[[Canvas, Colour], None]] = {
    "mug": _mug,
    "box": _box,
    "bottle": _bottle,
    "screwdriver": _screwdriver,
    "tape": _tape,
    "sponge": _sponge,
    "ruler": _ruler,
    "bolts": _bolts,
    "notebook": _notebook,
}
CLUTTER = ("ruler", "bolts", "notebook")


@functools.lru_cache(maxsize=1024)
def sprite(kind: str, colour: Colour, side_px: int) -> Rgba:
    """Return (side_px, side_px, 4) RGBA with straight alpha. Cached: do not write into it."""
    canvas = np.zeros((_SIDE, _SIDE, 4), np.uint8)
    _DRAW[kind](canvas, colour)
    # Averaging with premultiplied alpha keeps the black of empty pixels out of the edges.
    alpha = canvas[:, :, 3:].astype(np.float32) / 255
    small = cv2.resize(
        np.dstack([canvas[:, :, :3] * alpha, alpha * 255]), (side_px, side_px), interpolation=cv2.INTER_AREA
    )
    opacity = small[:, :, 3:] / 255
    colours = np.divide(small[:, :, :3], opacity, out=np.zeros_like(small[:, :, :3]), where=opacity > 0)
    return np.dstack([colours, small[:, :, 3:]]).round().astype(np.uint8)


class Shape(NamedTuple):
    """How things are drawn that belong to another set of the same kinds: another mug is still a mug."""

    mirrored: bool = False
    width: float = 1.0  # share of the usual
    height: float = 1.0
    shade: float = 1.0  # factor of the colour


SHAPES = (
    Shape(),
    Shape(width=0.88, shade=0.85),
    Shape(mirrored=True, height=0.9, shade=1.1),
    Shape(mirrored=True, width=0.72, shade=0.74),
    Shape(width=1.0, height=0.72, shade=1.2),
)
KNOWN_SHAPES, HELD_OUT_SHAPES = (0, 1, 2), (3, 4)  # indices into SHAPES


@functools.lru_cache(maxsize=1024)
def object_sprite(index: int, side_px: int, shapes: int = 0) -> Rgba:
    """Return the picture of OBJECTS[index]: (side_px, side_px, 4). shapes: index into SHAPES. Do not write into it."""
    shape = SHAPES[shapes]
    colour: Colour = tuple(min(255, int(shape.shade * channel)) for channel in OBJECTS[index].colour)  # type: ignore[assignment]
    picture = sprite(OBJECTS[index].kind, colour, side_px)
    if shape == SHAPES[0]:
        return picture
    if shape.mirrored:
        picture = picture[:, ::-1]
    width, height = max(1, round(side_px * shape.width)), max(1, round(side_px * shape.height))
    left, top = (side_px - width) // 2, round(0.9 * (side_px - height))  # it stands where the usual one does
    canvas = np.zeros_like(picture)
    small = cv2.resize(np.ascontiguousarray(picture), (width, height), interpolation=cv2.INTER_AREA)
    canvas[top : top + height, left : left + width] = small
    return canvas


def blend(image: NDArray[np.uint8], picture: Rgba, left: int, top: int) -> None:
    """Put a sprite into an RGB image, in place; what lies off the image is left out."""
    height, width = picture.shape[:2]
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + width, image.shape[1]), min(top + height, image.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    part = picture[y0 - top : y1 - top, x0 - left : x1 - left]
    below = image[y0:y1, x0:x1]
    alpha = part[:, :, 3:].astype(np.uint16)
    below[:] = ((part[:, :, :3] * alpha + below * (255 - alpha) + 127) // 255).astype(np.uint8)

"""Draws what the head camera sees: bench, things, sign, arm and hand."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.sim.bench_scene import (
    GRASP,
    MARGIN,
    OBJECT_SIZE,
    OBJECTS,
    SIGN,
    VIEW_WIDTH,
    WALL_HEIGHT,
    Colour,
    Floats,
    Habits,
    Look,
    Occluder,
    Slot,
    View,
)
from gaze_vlm_ros.sim.bench_sprites import CLUTTER, blend, object_sprite, sprite

Image = NDArray[np.uint8]
BENCH_1_VIEW = View()
_SUBPIXEL_BITS = 4  # OpenCV draws with coordinates of 1/16 px: without them a slow hand would jump from px to px


class Carried(NamedTuple):
    """The object in the hand."""

    thing: int  # index into OBJECTS
    scale: float  # share of OBJECT_SIZE


class BenchRenderer:
    """Renders one session's bench at one size. Static layers are cached; only what moves is drawn for each frame."""

    def __init__(
        self, size: tuple[int, int], look: Look, habits: Habits, clutter: list[Slot], view: View = BENCH_1_VIEW
    ) -> None:
        self._size, self._view = size, view
        self._scale = size[0] / VIEW_WIDTH  # px per unit
        self._look, self._habits = look, habits
        levels = np.arange(256)[:, None] * np.array(view.tint)
        bright = np.clip(levels, 0, 255).astype(np.uint8)[None]  # (1, 256, 3) for cv2.LUT
        self._light = None if view.tint == BENCH_1_VIEW.tint else bright
        self._room = self._draw_room(clutter)
        self._layers: dict[object, Image] = {}

    def world_to_image(self, points: Floats, head: Floats) -> Floats:
        """Convert (..., 2) points in units to px in the image, for a head (shift x, shift y, roll)."""
        return self._view.seen(np.asarray(points), head, VIEW_WIDTH * self._size[1] / self._size[0]) * self._scale

    def render(
        self, standing: list[Slot | None], carried: Carried | None, hint: int, hand: Floats, grip: float, head: Floats
    ) -> Image:
        """Return (H, W, 3) uint8 RGB. standing: place of each object, None for the one carried in the hand."""
        layer = self._layer(standing, hint)
        matrix = np.column_stack([np.eye(2), [MARGIN * self._scale] * 2])
        corners = np.array([[0.0, 0.0], [VIEW_WIDTH, 0.0], [0.0, VIEW_WIDTH]])
        target = self.world_to_image(corners, head).astype(np.float32)
        source = (corners * self._scale + matrix[:, 2]).astype(np.float32)
        turn = cv2.getAffineTransform(source, target)
        moved = cv2.warpAffine(layer, turn, self._size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        frame = np.asarray(moved, np.uint8)
        self._draw_arm(frame, carried, hand, grip, head)
        for occluder in self._view.occluders:
            self._draw_occluder(frame, occluder, head)
        return frame if self._light is None else np.asarray(cv2.LUT(frame, self._light), np.uint8)

    # Layers that stand still.

    def _px(self, x: float, y: float) -> tuple[int, int]:
        return round((x + MARGIN) * self._scale), round((y + MARGIN) * self._scale)

    def _draw_room(self, clutter: list[Slot]) -> Image:
        world = VIEW_WIDTH + 2 * MARGIN
        width = round(world * self._scale)
        height = round((VIEW_WIDTH * self._size[1] / self._size[0] + 2 * MARGIN) * self._scale)
        rng = np.random.default_rng(self._look.texture_seed)
        rows = np.linspace(0, 1, height, dtype=np.float32)[:, None]
        edge = self._px(0, WALL_HEIGHT)[1]
        room = np.empty((height, width, 3), np.float32)
        room[:edge] = np.array(self._look.wall, np.float32) * (0.82 + 0.2 * rows[:edge, :, None] * height / edge)
        # Wood: long streaks, boards, and light from the front.
        size = (height - edge, width)
        streaks = _noise(rng, size, 22 * self._scale, 0.7)
        fine = _noise(rng, size, 5 * self._scale, 0.6)
        streaks = streaks * (9 / max(float(streaks.std()), 1e-6))
        wood = np.array(self._look.wood, np.float32) + (streaks + 5 * fine)[:, :, None]
        room[edge:] = wood * (0.78 + 0.34 * np.linspace(0, 1, height - edge, dtype=np.float32)[:, None, None])
        for board in (0.16, 0.4, 0.72):
            y = edge + round(board * (height - edge))
            room[y : y + max(1, round(1.5 * self._scale))] *= 0.72
        room[edge - max(1, round(5 * self._scale)) : edge] *= 0.62
        picture = np.clip(room * self._look.brightness, 0, 255).astype(np.uint8)
        self._draw_wall(picture)
        for kind, slot in zip(CLUTTER, clutter, strict=False):
            self._stand(picture, sprite(kind, (0, 0, 0), self._side(slot)), slot)
        return picture

    def _draw_wall(self, picture: Image) -> None:
        """A shelf and a socket: things on a wall that mean nothing."""
        cv2.rectangle(picture, self._px(40, 84), self._px(300, 96), (140, 122, 100), -1, cv2.LINE_AA)
        for x, width, colour in ((62, 34, (120, 128, 140)), (104, 26, (160, 150, 132)), (138, 44, (98, 104, 98))):
            cv2.rectangle(picture, self._px(x, 40), self._px(x + width, 84), colour, -1, cv2.LINE_AA)
        x0, y0, x1, y1 = SIGN
        cv2.rectangle(picture, self._px(x0 - 8, y0 - 8), self._px(x1 + 8, y1 + 8), (72, 74, 78), -1, cv2.LINE_AA)

    def _layer(self, standing: list[Slot | None], hint: int) -> Image:
        key = (tuple(standing), hint)
        if key not in self._layers:
            self._layers.clear()  # an old arrangement never comes back
            picture = self._room.copy()
            x0, y0, x1, y1 = SIGN
            cv2.rectangle(picture, self._px(x0, y0), self._px(x1, y1), OBJECTS[hint].colour, -1, cv2.LINE_AA)
            far_first = sorted((slot.at[1], i) for i, slot in enumerate(standing) if slot is not None)
            for _, index in far_first:
                slot = standing[index]
                assert slot is not None
                self._stand(picture, object_sprite(index, self._side(slot), self._view.shapes), slot)
            self._layers[key] = picture
        return self._layers[key]

    def _side(self, slot: Slot) -> int:
        return round(OBJECT_SIZE * slot.scale * self._scale)

    def _stand(self, picture: Image, thing: Image, slot: Slot) -> None:
        side = thing.shape[0]
        x, y = self._px(*slot.at)
        _soft_shadow(picture, (x + side // 10, y + round(0.36 * side)), (round(0.42 * side), round(0.14 * side)), 0.45)
        blend(picture, thing, x - side // 2, y - side // 2)

    # What moves.

    def _draw_arm(self, frame: Image, carried: Carried | None, hand: Floats, grip: float, head: Floats) -> None:
        tip = self.world_to_image(hand, head)
        shoulder = self.world_to_image(np.array(self._view.shoulder), head)
        along = (tip - shoulder) / max(float(np.linalg.norm(tip - shoulder)), 1e-6)
        across = np.array([-along[1], along[0]])
        unit = self._scale * self._view.zoom
        # Distances from the fingertips back to the palm and on to the wrist, in units.
        palm, wrist = tip - along * 46 * unit, tip - along * 84 * unit
        cuff = tip - along * 116 * unit
        parts: list[tuple[Floats, Floats, float, Colour]] = [
            (shoulder, cuff, 70, self._habits.sleeve),
            (cuff, wrist, 46, self._habits.skin),
            (wrist, palm, 54, self._habits.skin),
        ]
        spread = 1 - 0.55 * grip
        for offset, reach in ((-21, 0.82), (-7, 1.0), (7, 1.02), (20, 0.86)):
            end = palm + along * 52 * reach * (1 - 0.3 * grip) * unit + across * offset * 1.25 * spread * unit
            parts.append((palm + across * offset * 0.8 * unit, end, 13, self._habits.skin))
        thumb = palm - across * (38 * spread + 6) * unit + along * 24 * unit
        parts.append((palm - across * 16 * unit, thumb, 15, self._habits.skin))
        self._shade_under(frame, parts)
        if carried is not None:
            side = round(OBJECT_SIZE * carried.scale * unit)
            x, y = self.world_to_image(hand - GRASP, head).round().astype(int)
            blend(frame, object_sprite(carried.thing, side, self._view.shapes), x - side // 2, y - side // 2)
        for start, end, width, colour in parts:
            dark: Colour = tuple(int(0.7 * channel) for channel in colour)  # type: ignore[assignment]
            _limb(frame, start, end, (width + 4) * unit, dark)
        for start, end, width, colour in parts:
            _limb(frame, start, end, width * unit, colour)
        for start, end, width, colour in parts[:3]:
            lit: Colour = tuple(int(min(255, 1.1 * channel)) for channel in colour)  # type: ignore[assignment]
            shift = across * width * 0.2 * unit
            _limb(frame, start + shift, end + shift, width * 0.4 * unit, lit)

    def _draw_occluder(self, frame: Image, occluder: Occluder, head: Floats) -> None:
        """A box in front of everything: its face, a lit edge on top, a dark one at its right."""
        left, top, right, bottom, colour = occluder
        depth = 9.0
        for corners, factor in (
            ([(left, top), (right, top), (right, bottom), (left, bottom)], 1.0),
            ([(left, top), (left + depth, top - depth), (right + depth, top - depth), (right, top)], 1.35),
            ([(right, top), (right + depth, top - depth), (right + depth, bottom), (right, bottom)], 0.6),
        ):
            points = self.world_to_image(np.array(corners), head) * (1 << _SUBPIXEL_BITS)
            shade = tuple(min(255, int(factor * channel)) for channel in colour)
            cv2.fillPoly(frame, [points.round().astype(np.int32)], shade, cv2.LINE_AA, _SUBPIXEL_BITS)

    def _shade_under(self, frame: Image, parts: list[tuple[Floats, Floats, float, Colour]]) -> None:
        """The shadow of arm and hand, at a quarter of the size: it is blurred anyway."""
        small = np.zeros((max(frame.shape[0] // 4, 1), max(frame.shape[1] // 4, 1)), np.uint8)
        unit = self._scale * self._view.zoom
        fall = np.array([14.0, 18.0]) * unit
        for start, end, width, _ in parts:
            _limb(small, (start + fall) / 4, (end + fall) / 4, width * unit / 4, 90)
        small = cv2.GaussianBlur(small, (0, 0), 2.2 * unit)
        shade = 255 - cv2.resize(small, (frame.shape[1], frame.shape[0]), interpolation=cv2.INTER_LINEAR)
        cv2.multiply(frame, cv2.cvtColor(shade, cv2.COLOR_GRAY2RGB), frame, 1 / 255)


def _noise(rng: np.random.Generator, size: tuple[int, int], along_px: float, across_px: float) -> NDArray[np.float32]:
    """White noise drawn out along x."""
    return np.asarray(cv2.GaussianBlur(rng.normal(0, 1, size), (0, 0), along_px, None, across_px), np.float32)


def _limb(image: Image, start: Floats, end: Floats, width: float, colour: Colour | int) -> None:
    """A line with round ends, at subpixel places."""
    points = [tuple(int(v) for v in np.round(point * (1 << _SUBPIXEL_BITS))) for point in (start, end)]
    cv2.line(image, points[0], points[1], colour, max(1, round(width)), cv2.LINE_AA, _SUBPIXEL_BITS)


def _soft_shadow(picture: Image, centre: tuple[int, int], axes: tuple[int, int], depth: float) -> None:
    reach = (2 * axes[0], 3 * axes[1])
    x0, y0 = max(centre[0] - reach[0], 0), max(centre[1] - reach[1], 0)
    x1, y1 = min(centre[0] + reach[0], picture.shape[1]), min(centre[1] + reach[1], picture.shape[0])
    x = (np.arange(x0, x1) - centre[0]) / axes[0]
    y = (np.arange(y0, y1) - centre[1]) / axes[1]
    shade = 1 - depth * np.exp(-((x[None, :] ** 2 + y[:, None] ** 2) ** 2))
    part = picture[y0:y1, x0:x1]
    part[:] = (part * shade[:, :, None]).astype(np.uint8)

"""Carry points from one frame to another by dense optical flow, and flag those that cannot be trusted."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_FLAT = 1.0  # grey levels of detail (RMS); a frame with less (a wall, darkness) has nothing that could match


@dataclass(frozen=True)
class FlowSettings:
    """When flow is trusted. Lengths in px of the frame."""

    max_disagreement_px: float = 20.0  # of forward and backward flow at one point; the paper's
    max_bad_share: float = 0.6  # of all pixels; above it the whole frame is dropped (a blur); the paper's
    # Correlation of the earlier frame's detail with the later one's, brought back by the flow; below it the whole frame
    # is dropped. Head-camera video 0.3 s apart has 0.8 to 0.97, unrelated pictures have at most 0.3. Needed because DIS
    # flow is smooth: between unrelated pictures forward and backward flow disagree by over 20 px on a fifth of them.
    min_match: float = 0.5
    width_px: int = 240  # at which flow is computed: 0.4 px error there and back, 2 ms; 320 takes 5 ms, 1280 60 ms


def carry(
    points: Floats,
    earlier: NDArray[np.uint8],
    later: NDArray[np.uint8],
    size: tuple[int, int],
    settings: FlowSettings,
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return `points` (N, 2) px of frame `earlier` moved to frame `later`, and (N,) which of them can be trusted.

    earlier, later: (h, w) uint8, frames of `size` (width, height) px as images.small_grey shrinks them to
    settings.width_px.

    A point is trusted when following the flow there and back ends within max_disagreement_px of it, and it is still on
    the image. No point is trusted if too much of the frame disagrees, or the frames do not show the same scene.
    """
    scale = min(1.0, settings.width_px / size[0])
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    none = np.empty((0, 0), np.float32)  # OpenCV: no first guess
    forward, backward = dis.calc(earlier, later, none), dis.calc(later, earlier, none)
    # Follow all pixel centres of the small image there and back.
    rows, columns = _pixels(*earlier.shape)
    to_x, to_y = columns + forward[..., 0], rows + forward[..., 1]
    returned = cv2.remap(backward, to_x, to_y, cv2.INTER_LINEAR)
    disagreement = np.asarray(cv2.magnitude(*cv2.split(forward + returned)), np.float32) / np.float32(scale)
    inside = (to_x >= 0) & (to_x < earlier.shape[1]) & (to_y >= 0) & (to_y < earlier.shape[0])
    brought_back = cv2.remap(later, to_x, to_y, cv2.INTER_LINEAR)
    bad_share = (disagreement > settings.max_disagreement_px).mean()
    if bad_share > settings.max_bad_share or _match(earlier, brought_back, inside) < settings.min_match:
        return points.copy(), np.zeros(len(points), bool)
    # A coordinate x px covers pixel x - 0.5 of the full image, so it scales without an offset and loses half a pixel.
    small = (points * scale - 0.5).astype(np.float32)
    moved = points + _sample(np.asarray(forward, np.float32), small) / scale
    trusted = _sample(disagreement[..., None], small)[:, 0] <= settings.max_disagreement_px
    on_image = (moved >= 0).all(axis=1) & (moved < size).all(axis=1)
    return moved, trusted & on_image


@functools.lru_cache(maxsize=8)
def _pixels(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (H, W) rows and (H, W) columns of all pixels."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    return rows, columns


def _match(first: NDArray[np.uint8], second: cv2.typing.MatLike, where: NDArray[np.bool_]) -> float:
    """Return the correlation of the detail of two pictures where they overlap; 1 where neither has any.

    Detail is what differs from its surroundings. Whole pictures correlate by brightness: a bright desk below a dark
    wall by 0.7 with its own mirror image.
    """
    if where.mean() < 0.1:
        return 0.0
    one, two = (_detail(picture)[where] for picture in (first, second))
    strength = float(np.sqrt((one**2).mean())), float(np.sqrt((two**2).mean()))
    if max(strength) < _FLAT:
        return 1.0
    return float((one * two).mean() / max(strength[0] * strength[1], 1e-9))


def _detail(picture: NDArray[np.uint8] | cv2.typing.MatLike) -> NDArray[np.float32]:
    values = np.asarray(picture, np.float32)
    side = 2 * round(0.043 * values.shape[1]) + 1  # as wide as a Gaussian of a fortieth of the width, and faster
    return values - cv2.blur(values, (side, side))


def _sample(field: NDArray[np.float32], points: NDArray[np.float32]) -> Floats:
    """Return bilinear values (N, C) of a field (H, W, C) at points (N, 2), with the border repeated."""
    values = cv2.remap(field, points[None, :, 0], points[None, :, 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return values.reshape(len(points), -1).astype(float)

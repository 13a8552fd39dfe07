"""Carries points from an earlier frame to a later one by dense optical flow, and says where that cannot be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FlowSettings:
    """When flow is trusted. Lengths in px of the frame."""

    max_disagreement_px: float = 20.0  # of forward and backward flow at one point; the paper's
    max_bad_share: float = 0.6  # of all pixels; above it the whole frame is dropped (a scene cut, a blur); the paper's
    width_px: int = 320  # at which flow is computed: DIS takes 4 ms there, 60 ms at 1280, and gaze is no finer


def carry(
    points: Floats, earlier: NDArray[np.uint8], later: NDArray[np.uint8], settings: FlowSettings
) -> tuple[Floats, NDArray[np.bool_]]:
    """Where `points` (N, 2) px of frame `earlier` are on frame `later`, and which of them can be trusted (N,).

    A point is trusted when following the flow there and back ends within max_disagreement_px of it, and it is still on
    the image; none is when too much of the frame disagrees. Frames are (H, W, 3) uint8 RGB of one size.
    """
    height, width = earlier.shape[:2]
    scale = min(1.0, settings.width_px / width)
    before, after = _small_grey(earlier, scale), _small_grey(later, scale)
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    none = np.empty((0, 0), np.float32)  # OpenCV's word for "no first guess"
    forward, backward = dis.calc(before, after, none), dis.calc(after, before, none)
    # Pixel centres of the whole small image, followed there and back.
    rows, columns = np.mgrid[0 : before.shape[0], 0 : before.shape[1]].astype(np.float32)
    returned = cv2.remap(backward, columns + forward[..., 0], rows + forward[..., 1], cv2.INTER_LINEAR)
    disagreement = np.linalg.norm(forward + returned, axis=2) / scale
    if (disagreement > settings.max_disagreement_px).mean() > settings.max_bad_share:
        return points.copy(), np.zeros(len(points), bool)
    # A coordinate x px covers pixel x - 0.5 of the full image, so it scales without an offset and loses half a pixel.
    small = (points * scale - 0.5).astype(np.float32)
    moved = points + _sample(np.asarray(forward, np.float32), small) / scale
    trusted = _sample(np.asarray(disagreement, np.float32)[..., None], small)[:, 0] <= settings.max_disagreement_px
    on_image = (moved >= 0).all(axis=1) & (moved < (width, height)).all(axis=1)
    return moved, trusted & on_image


def _small_grey(rgb: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.uint8)


def _sample(field: NDArray[np.float32], points: NDArray[np.float32]) -> Floats:
    """Bilinear values (N, C) of a field (H, W, C) at points (N, 2), the border repeated."""
    values = cv2.remap(field, points[None, :, 0], points[None, :, 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return values.reshape(len(points), -1).astype(float)

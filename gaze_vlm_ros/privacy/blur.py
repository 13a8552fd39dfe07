"""Make boxes of a picture unrecognizable."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# Detectors frame a face tightly: hair, ears and chin identify it too.
MARGIN = 0.3  # of the box's width and height, added on each side
# So many cells along the longer side are left of a face: features are gone, and no filter brings them back.
CELLS = 6


def hide_boxes(pixels: NDArray[Any], boxes: Iterable[tuple[float, float, float, float]], plain: bool = False) -> None:
    """Replace each box of `pixels` (H, W) or (H, W, C), in place, by a few cells of its mean colours.

    boxes: x0, y0, x1, y1 px, already with their margin; parts off the picture are ignored. plain: one colour for the
    whole box, for mosaics, whose neighbours are of different colours.
    """
    height, width = pixels.shape[:2]
    for x0, y0, x1, y1 in boxes:
        left, top = max(int(np.floor(x0)), 0), max(int(np.floor(y0)), 0)
        right, bottom = min(int(np.ceil(x1)), width), min(int(np.ceil(y1)), height)
        if left >= right or top >= bottom:
            continue
        part = pixels[top:bottom, left:right]
        if plain:
            part[...] = np.round(part.mean(axis=(0, 1))).astype(pixels.dtype)
            continue
        longer = max(bottom - top, right - left)
        cells = max(round(CELLS * (right - left) / longer), 1), max(round(CELLS * (bottom - top) / longer), 1)
        few = cv2.resize(np.ascontiguousarray(part), cells, interpolation=cv2.INTER_AREA)
        large = cv2.resize(few, (right - left, bottom - top), interpolation=cv2.INTER_NEAREST)
        part[...] = np.asarray(large).reshape(part.shape)


def with_margin(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """Return a face's box with MARGIN on each side."""
    x0, y0, x1, y1 = box
    across, down = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
    return x0 - across, y0 - down, x1 + across, y1 + down

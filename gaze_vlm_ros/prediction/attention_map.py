"""Where the model looked, as a small image that any viewer can show."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.prediction.types import FrameAttention

CELLS = 64  # along the longer side: about the number of visual tokens of a large model


def attention_map(attention: FrameAttention, frame_size: tuple[int, int]) -> NDArray[np.float32]:
    """(rows, columns) share of the attention on each cell of the frame, row 0 at the top; sums to 1.

    The share of each visual token is spread evenly over its box, and a cell gets the part that lies in it. The cells
    divide the frame evenly and are as square as that allows. frame_size: (width, height) px.
    """
    width, height = frame_size
    scale = CELLS / max(width, height)
    columns, rows = max(1, round(width * scale)), max(1, round(height * scale))
    x0, y0, x1, y1 = attention.boxes.T
    across = _inside(x0, x1, np.linspace(0, width, columns + 1))  # a box and a cell overlap by a product of lengths
    down = _inside(y0, y1, np.linspace(0, height, rows + 1))
    areas = across.sum(axis=1) * down.sum(axis=1)
    density = np.divide(attention.shares, areas, out=np.zeros_like(areas), where=areas > 0)
    return np.asarray((down * density[:, None]).T @ across, np.float32)


def _inside(start: NDArray[np.float64], stop: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """(V, N) length of each interval, (V,) start to stop, between neighbouring edges (N + 1,)."""
    lengths = np.minimum(stop[:, None], edges[1:]) - np.maximum(start[:, None], edges[:-1])
    return np.maximum(lengths, 0.0)

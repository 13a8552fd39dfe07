"""Reliability diagram: how often answers were right, against the probability that the model gave them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from gaze_vlm_ros.figures.encoding import png
from gaze_vlm_ros.figures.style import COLOURS, bare


def reliability_plot(curves: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Return a PNG with one curve per run; the area of a marker is the share of the answers in its bin.

    curves: by name of the run, `confidence`, `accuracy` (None = empty bin) and `count` of each bin, and `error`, the
    expected calibration error.
    """
    figure = Figure(figsize=(4.4, 3.6))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="black", linestyle=":", linewidth=1)
    for position, (run, numbers) in enumerate(curves.items()):
        counts = np.asarray(numbers["count"], dtype=float)
        filled = counts > 0
        x = np.array([np.nan if v is None else v for v in numbers["confidence"]], dtype=float)[filled]
        y = np.array([np.nan if v is None else v for v in numbers["accuracy"]], dtype=float)[filled]
        label = f"{run} (error {numbers['error']:.2f})"
        axes.plot(x, y, color=COLOURS[position], linewidth=1, alpha=0.6)
        axes.scatter(x, y, s=10 + 200 * counts[filled] / counts.sum(), color=COLOURS[position], alpha=0.8, label=label)
    axes.set(xlabel="probability given", ylabel="share that was right", xlim=(0, 1.02), ylim=(-0.02, 1.05))
    axes.legend(frameon=False, fontsize=8, loc="upper left", markerscale=0.6)
    bare(axes)
    return png(figure)

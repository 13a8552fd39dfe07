"""What figures of reports have in common. Matplotlib without a display."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

mpl.use("Agg")

# Colours that stay apart for colour-blind readers (Okabe and Ito), the first for real gaze in every figure.
COLOURS = ("#0072B2", "#999999", "#D55E00", "#009E73", "#CC79A7", "#E69F00")


def png(figure: Figure) -> bytes:
    """The figure as a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    return buffer.getvalue()


def bare(axes: Axes) -> None:
    """Leave out what tells nothing."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)


def embedded(image: bytes) -> str:
    """A PNG as the `src` of an HTML page that needs no other file."""
    return "data:image/png;base64," + base64.b64encode(image).decode()


def reliability_plot(curves: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Accuracy against confidence. curves[run]: confidence, accuracy and count of each bin, and the expected error."""
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

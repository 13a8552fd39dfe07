"""The look that all figures share: colours and axes."""

from __future__ import annotations

from matplotlib.axes import Axes

# Okabe and Ito's palette, which colour-blind readers can tell apart. The first colour is real gaze in every figure.
COLOURS = ("#0072B2", "#999999", "#D55E00", "#009E73", "#CC79A7", "#E69F00")


def bare(axes: Axes) -> None:
    """Remove the top and right border of `axes` and draw faint horizontal grid lines."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)

"""Figures of the report, as the bytes of a PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gaze_vlm_ros.figures import COLOURS, bare, png


def accuracy_bars(
    runs: Sequence[str],
    groups: Sequence[str],
    figures: Mapping[tuple[str, str], Mapping[str, float | None]],
    chance: float,
) -> bytes:
    """Draw the top-1 accuracy of each run in each group, with its confidence interval.

    figures[run, group]: value, low, high (None = no interval). chance: accuracy of a uniform guess, a dotted line.
    """
    figure = Figure(figsize=(1.6 + 2.2 * len(groups), 3.2))
    axes = figure.subplots()
    width = 0.8 / len(runs)
    for position, run in enumerate(runs):
        for place, group in enumerate(groups):
            value, low, high = (figures[run, group][key] for key in ("value", "low", "high"))
            assert value is not None
            x = place + (position - (len(runs) - 1) / 2) * width
            axes.bar(x, value, width * 0.92, color=COLOURS[position], label=run if place == 0 else None)
            if low is not None and high is not None:
                axes.plot([x, x], [low, high], color="black", linewidth=1.2)
            axes.text(x, 0.02, f"{value:.2f}", ha="center", fontsize=8, bbox={"color": "white", "alpha": 0.7, "pad": 1})
    axes.axhline(chance, color="black", linestyle=":", linewidth=1, label=f"chance {chance:.2f}")
    axes.set_xticks(range(len(groups)), groups)
    axes.set_ylim(0, 1.08)
    axes.set_ylabel("top-1 accuracy")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    bare(axes)
    return png(figure)


def training_curves(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> bytes:
    """Draw training and validation loss, KL and λ over the steps. curves[run]: the rows of its metrics.jsonl."""
    figure = Figure(figsize=(10.5, 3.0))
    panels = figure.subplots(1, 3)
    titles = ("language loss (thin: training, thick: validation)", "KL(gaze ‖ attention), nats", "λ")
    panels[0].set_yscale("log")
    for position, (run, rows) in enumerate(curves.items()):
        colour = COLOURS[position]
        steps = [row["step"] for row in rows if "lm" in row]
        panels[0].plot(
            steps, _smooth([row["lm"] for row in rows if "lm" in row]), color=colour, linewidth=0.8, alpha=0.7
        )
        checks = [row for row in rows if "validation_lm" in row]
        panels[0].plot(
            [row["step"] for row in checks],
            [row["validation_lm"] for row in checks],
            color=colour,
            linewidth=2,
            label=run,
        )
        supervised = [row for row in rows if row["kl_weight"] > 0]  # other steps do not read the attention
        panels[1].plot(
            [row["step"] for row in supervised],
            _smooth([row["kl"] for row in supervised]),
            color=colour,
            linewidth=0.8,
            alpha=0.7,
        )
        panels[1].plot(
            [row["step"] for row in checks],
            [row.get("validation_kl", float("nan")) for row in checks],
            color=colour,
            linewidth=2,
        )
        panels[2].plot(steps, [row["kl_weight"] for row in rows if "lm" in row], color=colour, linewidth=1.5)
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("step")
        if axes is not panels[0]:
            axes.set_ylim(bottom=0)
        bare(axes)
    panels[0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    return png(figure)


def _smooth(values: Sequence[float], width: int = 9) -> NDArray[np.float64]:
    """Return the running mean over `width` values, fewer at the ends, so that curves of small batches are readable."""
    array = np.asarray(values, dtype=np.float64)
    kernel = np.ones(min(width, len(array)) or 1)
    if not len(array):
        return array
    return np.convolve(array, kernel, "same") / np.convolve(np.ones_like(array), kernel, "same")


def attention_strip(
    frames: Sequence[NDArray[np.uint8]],
    frame_of_token: NDArray[np.int64],
    boxes: NDArray[np.float64],
    rows: Mapping[str, NDArray[np.float64]],
    samples: Sequence[NDArray[np.float64]],
) -> bytes:
    """Draw one window: a row for each distribution over visual tokens, a column for each frame.

    frames: (H, W, 3) RGB, all of one size. frame_of_token: (V,). boxes: (V, 4) x0, y0, x1, y1, px of the frame.
    rows: title -> (V,) distribution; tokens are tinted by their share relative to the row's largest.
    samples: (n, 2) gaze points px on each frame, drawn as crosses.
    """
    height, width = frames[0].shape[:2]
    figure = Figure(figsize=(2.3 * len(frames), 2.3 * len(rows) * height / width + 0.25 * len(rows)))
    panels = figure.subplots(len(rows), len(frames), squeeze=False)
    tint = mpl.colormaps["inferno"]
    for row, (title, share) in enumerate(rows.items()):
        # Boxes may overlap or leave gaps (tiling, a thumbnail of the whole frame), so paint each one.
        paint = np.zeros((len(frames), height, width))
        for frame, box, value in zip(frame_of_token, boxes, share / max(float(share.max()), 1e-12), strict=True):
            x0, y0, x1, y1 = np.clip(np.round(box), 0, [width, height, width, height]).astype(int)
            paint[frame, y0:y1, x0:x1] = np.maximum(paint[frame, y0:y1, x0:x1], value)
        for column, image in enumerate(frames):
            axes = panels[row][column]
            grey = image.mean(axis=2, keepdims=True) * 0.5 + image * 0.5
            heat = tint(paint[column])[..., :3] * 255
            mix = 0.7 * paint[column][..., None]
            axes.imshow(np.clip(grey * (1 - mix) + heat * mix, 0, 255).astype(np.uint8))
            if row == 0 and len(samples[column]):
                axes.plot(*samples[column].T, "+", color="#00E5FF", markersize=4, markeredgewidth=0.8)
            axes.set_xlim(-0.5, width - 0.5)
            axes.set_ylim(height - 0.5, -0.5)
            axes.set_xticks([])
            axes.set_yticks([])
            if column == 0:
                axes.set_ylabel(title, fontsize=8)
    figure.tight_layout(pad=0.3)
    return png(figure)

"""Figures of reports, as the bytes of a PNG, and of ablations. Matplotlib without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
    """Top-1 accuracy of each run in each group, with its confidence interval.

    figures[run, group]: value, low, high (None = no interval).
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
    """Training and validation loss, KL and λ over the steps. curves[run]: the rows of its metrics.jsonl."""
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
        led = [row for row in rows if row["kl_weight"] > 0]  # elsewhere the attention is not even read
        panels[1].plot(
            [row["step"] for row in led], _smooth([row["kl"] for row in led]), color=colour, linewidth=0.8, alpha=0.7
        )
        panels[1].plot(
            [row["step"] for row in checks], [row["validation_kl"] for row in checks], color=colour, linewidth=2
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
    """Running mean over `width` values, shorter at the ends, so that curves of small batches can be read."""
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
    """One window: a row for each of `rows` (title -> (V,) distribution over visual tokens), a column for each frame.

    Tokens are tinted by their share, relative to the row's largest; samples: (n, 2) gaze px on each frame, as crosses.
    boxes: (V, 4) px x0, y0, x1, y1 on frames of any one size.
    """
    height, width = frames[0].shape[:2]
    figure = Figure(figsize=(2.3 * len(frames), 2.3 * len(rows) * height / width + 0.25 * len(rows)))
    panels = figure.subplots(len(rows), len(frames), squeeze=False)
    tint = mpl.colormaps["inferno"]
    for row, (title, share) in enumerate(rows.items()):
        # Tokens may overlap or leave gaps (tiling, a thumbnail of the whole frame), so each box is painted by itself.
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


def arm_accuracy(rows: Sequence[Any]) -> Figure:
    """Top-1 of each arm on each kind of session: the mean over seeds as a bar, each seed as a dot.

    rows: training.ablation.tables.Row.
    """
    rows = [row for row in rows if not row.sweep] or rows
    arms, kinds = (list(dict.fromkeys(getattr(row, name) for row in rows)) for name in ("arm", "sessions"))
    figure = Figure(figsize=(7.2, 0.5 + 0.42 * len(arms) * max(1, len(kinds) / 2)))
    axes = figure.subplots()
    height = 0.8 / len(kinds)
    for place, arm in enumerate(arms):
        for position, kind in enumerate(kinds):
            values = [row.measures["top1"] for row in rows if (row.arm, row.sessions) == (arm, kind)]
            if values:
                y = place + (position - (len(kinds) - 1) / 2) * height
                axes.barh(y, np.mean(values), height * 0.9, color=COLOURS[position], label=kind if not place else None)
                axes.plot(values, [y] * len(values), "o", color="black", markersize=2.5)
    axes.set_yticks(range(len(arms)), arms)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("top-1 accuracy; dots are seeds")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25)
    return figure


def accuracy_by_lead(rows: Sequence[Any]) -> Figure:
    """Top-1 against how long before the action the model was asked; one line an arm, one panel a kind of session."""
    kinds = list(dict.fromkeys(row.sessions for row in rows))
    figure = Figure(figsize=(1.6 + 3.6 * len(kinds), 3.0))
    for axes, kind in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        for position, arm in enumerate(dict.fromkeys(row.arm for row in rows)):
            own = [row.top1_by_lead for row in rows if (row.arm, row.sessions) == (arm, kind)]
            leads = sorted({lead for by_lead in own for lead in by_lead}, key=lambda lead: float(lead.split()[0]))
            means = [np.mean([by_lead[lead] for by_lead in own if lead in by_lead]) for lead in leads]
            style = {"color": COLOURS[position % len(COLOURS)], "linestyle": "-" if position < len(COLOURS) else "--"}
            axes.plot([float(lead.split()[0]) for lead in leads], means, marker="o", markersize=3, label=arm, **style)
        axes.set_title(kind, fontsize=9)
        axes.set_xlabel("asked so long before the action, s")
        axes.set_ylim(0, 1)
        bare(axes)
    axes.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def sweep_accuracy(rows: Sequence[Any], name: str, recipe: Sequence[Any]) -> Figure:
    """Top-1 over the values of a sweep, mean and range over seeds; one line an arm, one panel a kind of session.

    recipe: runs that were not swept, whose mean is a dotted line; those of one arm have its colour.
    """
    kinds = list(dict.fromkeys(row.sessions for row in rows))
    values = list(dict.fromkeys(row.value for row in rows))
    figure = Figure(figsize=(1.6 + 3.0 * len(kinds), 2.8))
    arms = list(dict.fromkeys(row.arm for row in [*rows, *recipe]))
    for axes, kind in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        for position, arm in enumerate(arms):
            if unswept := [row.measures["top1"] for row in recipe if (row.arm, row.sessions) == (arm, kind)]:
                label, colour = f"{arm}, as in the recipe", COLOURS[position]
                axes.axhline(float(np.mean(unswept)), color=colour, linestyle=":", linewidth=1.2, label=label)
            of = [
                [row.measures["top1"] for row in rows if (row.arm, row.sessions, row.value) == (arm, kind, value)]
                for value in values
            ]
            places = [place for place, found in enumerate(of) if found]
            if not places:
                continue
            means = [np.mean(of[place]) for place in places]
            axes.plot(places, means, "o-", markersize=4, color=COLOURS[position], label=arm)
            low, high = ([edge(of[place]) for place in places] for edge in (min, max))
            axes.fill_between(places, low, high, color=COLOURS[position], alpha=0.15)
        axes.set_xticks(range(len(values)), values)
        axes.set_title(kind, fontsize=9)
        axes.set_xlabel(name)
        axes.set_ylim(0, 1)
        bare(axes)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure

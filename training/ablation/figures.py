"""Figures of an ablation, as matplotlib figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from gaze_vlm_ros.figures import COLOURS, bare
from training.ablation.statistics import Row


def arm_accuracy(rows: Sequence[Row]) -> Figure:
    """Top-1 of each arm on each kind of session: the mean over seeds as a bar, each seed as a dot.

    rows:
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


def accuracy_by_lead(rows: Sequence[Row]) -> Figure:
    """Draw top-1 over the lead time before the action: one line per arm, one panel per kind of session."""
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
        axes.set_xlabel("lead time before the action, s")
        axes.set_ylim(0, 1)
        bare(axes)
    axes.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def sweep_accuracy(rows: Sequence[Row], name: str, recipe: Sequence[Row]) -> Figure:
    """Draw top-1 over the values of a sweep, mean and range over seeds: a line per arm, a panel per kind of session.

    recipe: rows of runs without the sweep; their mean is a dotted line in the arm's colour.
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

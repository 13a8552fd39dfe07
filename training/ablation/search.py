"""The search for each arm's best settings by validation, and its curves: accuracy against steps and windows.

The values of a sweep are what is searched. Test sessions take no part in the choice; their scores stand beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from gaze_vlm_ros.figures import COLOURS, bare
from training.ablation.plan import Run

SEARCH = "search.json"


def search_of(runs: Sequence[tuple[Run, Mapping[str, Any], Sequence[Mapping[str, Any]]]]) -> dict[str, Any]:
    """Return for each arm its runs and the one that validation chooses.

    runs: (run, its scores, rows of its metrics.jsonl). A choice is the settings with the least validation loss, the
    mean over seeds of each run's least one. `training_lm` is the mean language loss of the last tenth of the steps:
    arms are compared at equal training loss only if it is about equal.
    """
    found: dict[str, Any] = {}
    for run, scores, metrics in runs:
        checks = [row for row in metrics if "validation_lm" in row]
        if not checks:
            continue
        best = min(checks, key=lambda row: float(row["validation_lm"]))
        name = f"{run.sweep}={run.value}" if run.sweep else "recipe"
        of_value = found.setdefault(run.arm, {"values": {}})["values"].setdefault(
            name, {"settings": run.overrides, "runs": []}
        )
        of_value["runs"].append(
            {
                "seed": run.seed,
                "validation_lm": best["validation_lm"],
                "validation_exact": best.get("validation_exact"),
                "step": best["step"] + 1,
                "training_lm": float(np.mean([row["lm"] for row in metrics[-max(1, len(metrics) // 10) :]])),
                "top1": {
                    kind: group["top1"]["value"] for kind, group in scores.get("groups", {}).items() if kind != "all"
                },
                "curve": [[row["step"] + 1, row["validation_lm"], row.get("validation_exact")] for row in checks],
            }
        )
    for arm in found.values():
        means = {
            name: float(np.mean([one["validation_lm"] for one in value["runs"]]))
            for name, value in arm["values"].items()
        }
        arm["chosen"] = min(means, key=lambda name: means[name])
    return found


def accuracy_by_step(found: Mapping[str, Any]) -> Figure:
    """Draw validation accuracy against steps: a panel per arm, a line per run, the chosen settings thick."""
    figure = Figure(figsize=(1.6 + 3.6 * len(found), 3.0))
    for axes, (arm, of_arm) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True):
        for position, (name, value) in enumerate(of_arm["values"].items()):
            width = 2.5 if name == of_arm["chosen"] else 1.0
            for number, run in enumerate(value["runs"]):
                steps = [step for step, _, exact in run["curve"] if exact is not None]
                exact = [exact for _, _, exact in run["curve"] if exact is not None]
                label = name if not number else None
                axes.plot(steps, exact, linewidth=width, color=COLOURS[position % len(COLOURS)], label=label)
        axes.set_title(f"{arm}; chosen: {of_arm['chosen']}", fontsize=8)
        axes.set_xlabel("steps")
        axes.set_ylim(0, 1)
        axes.legend(frameon=False, fontsize=6)
        bare(axes)
    figure.axes[0].set_ylabel("validation windows answered exactly")
    return figure


def read_runs(
    out: Path, results: Sequence[tuple[Run, Mapping[str, Any]]], metrics_name: str
) -> list[tuple[Run, Mapping[str, Any], list[Mapping[str, Any]]]]:
    """Return each finished run with its scores and the rows of its metrics. metrics_name: of the file in its folder."""
    read = []
    for run, scores in results:
        path = out / run.folder / metrics_name
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        read.append((run, scores, [json.loads(line) for line in lines]))
    return read

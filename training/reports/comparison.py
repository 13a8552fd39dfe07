"""The report of several fits: one HTML page that compares their scores, curves and attention."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from gaze_vlm_ros.bags.role_options import Roles
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.figures import embedded, reliability_plot
from gaze_vlm_ros.session.session import load_session
from training.evaluation.metrics import bootstrap_interval
from training.reports import figures
from training.reports.page import PAGE


class NoRun(GazeVlmError):
    """A folder or file for the report is missing, damaged, or from another evaluation."""


@dataclass(frozen=True)
class Run:
    """One fit with its evaluation."""

    name: str  # in tables and legends
    settings: dict[str, Any]  # content of settings.yaml
    curve: list[dict[str, float]]  # content of metrics.jsonl
    data: dict[str, Any]  # content of data.json
    evaluation: dict[str, Any]  # what evaluate.py wrote


def read_run(name: str, folder: Path, evaluation: Path) -> Run:
    """Return a run from the folder of fit.py and the JSON file of evaluate.py. Raises NoRun, which names the file."""
    try:
        return Run(
            name,
            yaml.safe_load((folder / "settings.yaml").read_text(encoding="utf-8")),
            [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()],
            json.loads((folder / "data.json").read_text(encoding="utf-8")),
            json.loads(evaluation.read_text(encoding="utf-8")),
        )
    except OSError as error:
        raise NoRun(f"no {error.filename}; give RUN folders of fit.py and JSON files of evaluate.py") from None
    except (ValueError, yaml.YAMLError) as error:
        raise NoRun(f"{folder} or {evaluation} is damaged: {' '.join(str(error).split())}") from None


def write_report(out: Path, runs: Sequence[Run], title: str = "What gaze changed") -> None:
    """Write one HTML page that compares `runs`. Settings and data of the first, with real gaze, are shown in full.

    Raises NoRun if the runs were evaluated on different sessions or labels.
    """
    first = runs[0]
    groups = list(first.evaluation["groups"])
    for run in runs[1:]:
        if list(run.evaluation["groups"]) != groups or run.evaluation["labels"] != first.evaluation["labels"]:
            raise NoRun(
                f"{run.name} and {first.name} were evaluated on different sessions or labels; evaluate both alike"
            )
    chance = 1.0 / len(first.evaluation["labels"])
    scores = {(run.name, group): run.evaluation["groups"][group]["top1"] for run in runs for group in groups}
    names = [run.name for run in runs]
    whole = groups[0]
    reliability = {
        run.name: {
            **run.evaluation["groups"][whole]["reliability"],
            "error": run.evaluation["groups"][whole]["calibration_error"],
        }
        for run in runs
    }
    page = PAGE.render(
        title=title,
        runs=runs,
        groups=groups,
        labels=first.evaluation["labels"],
        data=first.data,
        settings=first.settings,
        differing=_differing(runs),
        differences={run.name: {group: _difference(first, run, group) for group in groups} for run in runs[1:]},
        bars=embedded(figures.accuracy_bars(names, groups, scores, chance)),
        curves=embedded(figures.training_curves({run.name: run.curve for run in runs})),
        reliability=embedded(reliability_plot(reliability)),
        strips=[(text, embedded(image)) for text, image in _strips(runs)],
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")


def _difference(first: Run, other: Run, group: str) -> dict[str, float] | None:
    """Return top-1 of `first` minus that of `other` on the same windows, with its interval; None where they differ.

    Paired: the interval resamples sessions, each with both answers, so that what makes a session hard cancels.
    """
    scene_of = {session["name"]: session["scene"] for session in first.evaluation["sessions"]}
    hits: list[dict[tuple[str, int], float]] = [
        {
            (window["session"], window["at_ns"]): float(window["ranked"] == window["answer"])
            for window in run.evaluation["windows"]
            if group in ("all", scene_of.get(window["session"]))
        }
        for run in (first, other)
    ]
    if hits[0].keys() != hits[1].keys() or not hits[0]:
        return None
    change = np.array([right - hits[1][window] for window, right in hits[0].items()])
    sessions = np.unique([session for session, _ in hits[0]], return_inverse=True)[1]
    low, high = bootstrap_interval(sessions, lambda chosen: float(change[chosen].mean()))
    return {"value": float(change.mean()), "low": low, "high": high, "sessions": len(np.unique(sessions))}


def _differing(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """Return the settings that differ between runs, with their value in each."""
    keys = [key for key in runs[0].settings if len({json.dumps(run.settings.get(key)) for run in runs}) > 1]
    return {key: [run.settings.get(key) for run in runs] for key in keys}


def _strips(runs: Sequence[Run]) -> list[tuple[str, bytes]]:
    """Return a caption and a PNG for each example window: gaze target, and attention and answer of each run."""
    strips = []
    for position, example in enumerate(runs[0].evaluation["examples"]):
        session = load_session(Path(example["bag"]), roles=Roles(example.get("camera_topic", "")))
        frames = [session.frames.rgb(index) for index in example["frames"]]
        rows = {"gaze target": np.asarray(example["gaze"])}
        answers = []
        for run in runs:
            same = run.evaluation["examples"][position]
            rows[run.name] = np.asarray(same["attention"])
            mark = "right" if same["answered"] == same["answer"] else "wrong"
            answers.append(f"{run.name}: {same['answered']} ({same['probability']:.2f}, {mark})")
        image = figures.attention_strip(
            frames,
            np.asarray(example["frame_of_token"], dtype=np.int64),
            np.asarray(example["boxes"], dtype=np.float64),
            rows,
            [np.asarray(points, dtype=np.float64).reshape(-1, 2) for points in example["gaze_points"]],
        )
        head = f"{example['session']} ({example['scene']}), {example['lead_s']:.1f} s before: {example['answer']}"
        strips.append((f"{head}. {'; '.join(answers)}", image))
    return strips

"""One HTML file that shows what fits learned: run folders of fit.py and JSON files of evaluate.py in, report.html out.

python training/report.py --out report.html "real gaze=RUN:EVALUATION.json" "no gaze=RUN:EVALUATION.json" ...
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaze_vlm_ros.errors import GazeVlmError, exit_code
from gaze_vlm_ros.figures import embedded, reliability_plot
from gaze_vlm_ros.session.session import load_session
from training.reports import figures
from training.reports.page import PAGE


class NoRun(GazeVlmError):
    """A folder or file that the report needs is not there or is not what it should be."""


@dataclass(frozen=True)
class Run:
    """One fit with its evaluation."""

    name: str  # as it stands in tables and legends
    settings: dict[str, Any]  # settings.yaml
    curve: list[dict[str, float]]  # metrics.jsonl
    data: dict[str, Any]  # data.json
    evaluation: dict[str, Any]  # what evaluate.py wrote


def read_run(name: str, folder: Path, evaluation: Path) -> Run:
    """Raises NoRun, naming the file, when something is missing or broken."""
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
    """Write the report. The first run is taken as the one with real gaze; its settings and data are shown in full."""
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
        bars=embedded(figures.accuracy_bars(names, groups, scores, chance)),
        curves=embedded(figures.training_curves({run.name: run.curve for run in runs})),
        reliability=embedded(reliability_plot(reliability)),
        strips=[(text, embedded(image)) for text, image in _strips(runs)],
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")


def _differing(runs: Sequence[Run]) -> dict[str, list[Any]]:
    keys = [key for key in runs[0].settings if len({json.dumps(run.settings.get(key)) for run in runs}) > 1]
    return {key: [run.settings.get(key) for run in runs] for key in keys}


def _strips(runs: Sequence[Run]) -> list[tuple[str, bytes]]:
    """For each example window: its frames with gaze target and every run's attention, and what each run answered."""
    strips = []
    for position, example in enumerate(runs[0].evaluation["examples"]):
        session = load_session(Path(example["bag"]))
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


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    runs = []
    for text in arguments.runs:
        name, equals, rest = text.rpartition("=")  # a name may hold one: "λ = 0"
        folder, colon, evaluation = rest.rpartition(":")
        if not (equals and colon):
            raise NoRun(f"{text}: expected NAME=RUN:EVALUATION, e.g. real=build/real:build/real.json")
        runs.append(read_run(name, Path(folder), Path(evaluation)))
    write_report(arguments.out, runs, arguments.title)
    print(arguments.out)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="HTML file to write")
    parser.add_argument("--title", default="What gaze changed")
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN:EVALUATION", help="the fit with real gaze first")
    return parser


if __name__ == "__main__":
    sys.exit(exit_code("report.py", main))

"""One run of an ablation: fit and evaluate, in a worker process."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.storage.json_values import json_ready
from training.data.preparation import needs_gaze
from training.evaluation.checkpoint_evaluation import evaluate_checkpoint, training_top1
from training.evaluation.scores import table
from training.run.fitting import FitRequest, fit
from training.run.run_folder import METRICS
from training.settings import SETTINGS_FILE, Settings

SCORES = "scores.json"  # in the folder of a run; written last
# Settings that prepared windows depend on.
_PREPARED = (
    "model", "model_options", "picture_options", "task", "frames", "horizon_s", "observation_s", "stride_s",
    "leads_s", "gaze_window_s", "gaze_shift_s", "gaze_samples", "gaze_flow", "gaze_sigma",
    "gaze_min_confidence", "gaze_error",
)  # fmt: skip


@dataclass(frozen=True)
class RunTask:
    """What one run needs."""

    settings: Settings
    train: tuple[Path, ...]  # bags
    test: tuple[Path, ...]
    bags: Mapping[str, str]  # hashes of both, kept with the scores


def one_run(folder: str, task: RunTask, cache: Path, out: Path, keep: bool, embedding_model: str) -> tuple[str, str]:
    """Fit and evaluate in this process; return (folder, error or "").

    folder: name of the run in `out`; it appears only when the run is complete. keep: keep the checkpoint.
    """
    place, unfinished = out / folder, out / f"{folder}.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    with (unfinished / "log.txt").open("w") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        try:
            result = fit_and_evaluate(
                unfinished / "checkpoint", task.settings, task.train, task.test, cache, embedding_model
            )
        except GazeVlmError as error:
            return folder, str(error)
        except Exception as error:  # a defect, or out of memory: the other runs go on
            traceback.print_exc()
            return folder, " ".join(f"{type(error).__name__}: {error}".split())
    for name in (SETTINGS_FILE, METRICS):
        shutil.copy(unfinished / "checkpoint" / name, unfinished / name)
    if not keep:
        shutil.rmtree(unfinished / "checkpoint")
    (unfinished / SCORES).write_text(json.dumps(result | {"bags": task.bags}, indent=1))
    unfinished.replace(place)
    return folder, ""


def fit_and_evaluate(
    weights: Path, settings: Settings, train: Sequence[Path], test: Sequence[Path], cache: Path, embedding_model: str
) -> dict[str, Any]:
    """Return the scores of evaluate.py without its largest entries, with `seconds` and `training_top1`.

    weights: folder for the checkpoint.
    """
    began = time.monotonic()
    fit(settings, FitRequest(bags=train, out=weights, cache=cache))
    fitted = time.monotonic()
    scores = evaluate_checkpoint(
        weights, test, device=settings.device, cache=cache, examples=2, embedding_model=embedding_model
    )
    print(table(scores))
    learned = training_top1(weights, train, settings.device, cache)
    print(f"top-1 on windows that it was trained on: {learned:.3f}")
    evaluated = time.monotonic()
    result: dict[str, Any] = json_ready(scores)
    for name in ("windows", "examples", "sessions"):  # a megabyte each
        result.pop(name, None)
    return result | {"training_top1": learned, "seconds": {"fit": fitted - began, "evaluate": evaluated - fitted}}


def progress_text(out: Path, folder: str, settings: Settings) -> str:
    """Return in words how far a run in `out` is, such as "gaze__seed0 step 120 of 600"."""
    metrics = out / f"{folder}.part" / "checkpoint" / METRICS
    try:
        steps = metrics.read_bytes().count(b"\n")
    except OSError:  # it has not begun, or has just ended and been moved to its place
        steps = 0
    if not steps:
        return f"{folder} begins"
    return f"{folder} step {steps} of {settings.steps}" if steps < settings.steps else f"{folder} is evaluated"


def prepare_windows(runs: Iterable[Settings], bags: Sequence[Path], cache: Path, jobs: int, out: Path) -> None:
    """Convert all bags once for each kind of window, so that runs in parallel do not convert the same bags.

    runs: settings of each run. Errors are left to the run itself, which reports them under its name.
    """
    known: set[str] = set()
    for settings in runs:
        key = json.dumps([settings.gaze_as == "drawn", *(getattr(settings, name) for name in _PREPARED)])
        if key in known:
            continue
        known.add(key)
        request = FitRequest(bags=bags, out=out / "prepared", cache=cache, workers=jobs, prepare_only=True)
        gaze = settings.gaze if needs_gaze(settings) else "none"  # targets from boxes are made by the run, in a second
        with contextlib.suppress(Exception):
            fit(replace(settings, validation=0.0, keep="last", gaze=gaze), request)

"""One run of an ablation: a fit and its evaluation, in a worker process."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import yaml

from gaze_vlm_ros.errors import GazeVlmError
from training.ablation.plan import Ablation, BadAblation, Run
from training.data.workers import worker_pool
from training.settings import BadSettings, Settings, load_settings

SCORES = "scores.json"  # of a run, written last
SETTINGS = "settings.yaml"  # of a run: those of its fit
_PREPARED = (  # settings that prepared windows depend on
    "model", "model_options", "task", "frames", "horizon_s", "observation_s", "stride_s", "leads_s", "gaze_window_s",
    "gaze_samples", "gaze_flow", "gaze_sigma", "gaze_min_confidence", "gaze_error",
)  # fmt: skip


def as_finished(work: Any, tasks: Mapping[str, list[str]], jobs: int, stop: float) -> Iterator[tuple[str, str]]:
    """(folder, error or "") of each task as it ends; none is begun after `stop`, by time.monotonic."""
    queue = iter(tasks.items())
    pool = worker_pool(jobs)
    pending: dict[Future[tuple[str, str]], str] = {}
    try:
        while True:
            while len(pending) < jobs and time.monotonic() < stop and (task := next(queue, None)) is not None:
                following, arguments = task
                pending[pool.submit(work, following, arguments)] = following
            if not pending:
                return
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                folder = pending.pop(future)
                try:
                    yield future.result()
                except BrokenProcessPool:  # ends all that run beside it
                    yield folder, "its process, or one beside it, was killed, for lack of memory perhaps: fewer --jobs"
                    pool.shutdown(wait=False)
                    yield from ((other, "a process beside it was killed") for other in pending.values())
                    pending.clear()
                    pool = worker_pool(jobs)
                    break
    finally:
        pool.shutdown(cancel_futures=True)


def one_run(
    folder: str,
    arguments: list[str],
    train: list[Path],
    test: list[Path],
    bags: Mapping[str, str],
    cache: Path,
    out: Path,
    keep: bool,
    embedding_model: str,
) -> tuple[str, str]:
    """Fit and evaluate in this process; (folder, error or "")."""
    place, unfinished = out / folder, out / f"{folder}.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    with (unfinished / "log.txt").open("w") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        try:
            result = fit_and_evaluate(unfinished / "checkpoint", arguments, train, test, cache, embedding_model)
        except GazeVlmError as error:
            return folder, str(error)
        except Exception as error:  # a defect, or no memory: the other runs go on
            traceback.print_exc()
            return folder, " ".join(f"{type(error).__name__}: {error}".split())
    for name in (SETTINGS, "metrics.jsonl"):
        shutil.copy(unfinished / "checkpoint" / name, unfinished / name)
    if not keep:
        shutil.rmtree(unfinished / "checkpoint")
    (unfinished / SCORES).write_text(json.dumps(result | {"bags": bags}, indent=1))
    unfinished.replace(place)
    return folder, ""


def fit_and_evaluate(
    weights: Path, arguments: list[str], train: list[Path], test: list[Path], cache: Path, embedding_model: str
) -> dict[str, Any]:
    """Scores as evaluate.py writes them, without what no table holds, and `seconds` of both."""
    from training import evaluate, fit

    began = time.monotonic()
    fit.main([*arguments, "--cache", str(cache), "--out", str(weights), *map(str, train)])
    fitted = time.monotonic()
    scores = weights.with_name(SCORES)
    options = ["--json", str(scores), "--cache", str(cache), "--device", settings_of(arguments).device]
    options += ["--embedding-model", embedding_model] if embedding_model else []
    evaluate.main([str(weights), *map(str, test), *options])
    result: dict[str, Any] = json.loads(scores.read_text())
    scores.unlink()
    for name in ("windows", "examples", "sessions"):  # a megabyte each
        result.pop(name, None)
    return result | {"seconds": {"fit": fitted - began, "evaluate": time.monotonic() - fitted}}


def prepare_windows(recipe: Any, runs: Sequence[Run], bags: Sequence[Path], cache: Path, jobs: int, out: Path) -> None:
    """Convert all bags once, before many runs would do it at the same time."""
    from training import fit

    known: set[str] = set()
    for run in runs:
        arguments = recipe(run)
        # What changes the prepared windows; seeds, losses and steps do not.
        settings = settings_of([*arguments, "--set", "seed=0"])
        key = json.dumps([settings.gaze_as == "drawn", *(getattr(settings, name) for name in _PREPARED)])
        if key not in known:
            known.add(key)
            own = ["--set", "validation=0.0", "--set", "keep=last", "--workers", str(jobs), "--prepare-only"]
            # What goes wrong here, goes wrong in the run, which tells it by name.
            with contextlib.suppress(Exception):
                fit.main([*arguments, *own, "--cache", str(cache), "--out", str(out / "prepared"), *map(str, bags)])


def fit_arguments(ablation: Ablation, device: str, run: Run) -> list[str]:
    recipe = Path(ablation.fit)
    if not recipe.is_file():
        recipe = Path(__file__).resolve().parents[2] / ablation.fit
    values = ablation.set | run.overrides | {"seed": run.seed, "device": device}
    options = [part for key, value in values.items() for part in ("--set", f"{key}={_yaml(value)}")]
    return ["--config", str(recipe), *options]


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).replace("\n...", "").strip()


def settings_of(arguments: Sequence[str]) -> Settings:
    values = [value for option, value in itertools.pairwise(arguments) if option == "--set"]
    try:
        return load_settings(Path(arguments[1]), values)
    except BadSettings as error:
        raise BadAblation(f"an arm cannot be trained: {error}") from None

"""A whole ablation: run what is not finished, and write tables and figures after each run."""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from tqdm import tqdm

from gaze_vlm_ros.errors import GazeVlmError
from training.ablation import tables
from training.ablation.guards import bag_hashes, require_same_runs, require_same_sessions
from training.ablation.plan import Ablation, BadAblation, Run, load_ablation, recipe_path, run_settings, runs_of
from training.ablation.references import reference_results
from training.ablation.runner import SCORES, RunTask, one_run, prepare_windows, progress_text
from training.ablation.simulated import Sessions, simulated_sessions
from training.ablation.worker_tasks import as_finished
from training.pretraining.pretraining import base_folder, base_model
from training.pretraining.settings import load_pretrain_settings

CONFIGURATION = "settings.json"  # the configuration, in the output folder


class RunsFailed(GazeVlmError):
    """Some runs ended in an error; the tables hold the others."""


def run_ablation(
    config: Path,
    out: Path,
    *,
    train: Sequence[Path] = (),
    test: Sequence[Path] = (),
    jobs: int = 1,
    device: str = "auto",
    limit_s: float = 0.0,
    cache: Path | None = None,
    keep_weights: bool = False,
    other_settings: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Run the configuration in the YAML file `config`; write runs, tables and figures to `out`.

    Finished runs in `out` are kept. train, test: bags to fit and bags to score; none = simulated sessions.
    jobs: runs at a time. limit_s: start no run after this many seconds; 0 = no limit.
    cache: folder of prepared windows; None = in `out`. keep_weights: keep every checkpoint.
    other_settings: of every fit, in place of the configuration's, such as camera_topic.
    Raises BadAblation and OtherRuns before the first run, and RunsFailed after the last one.
    """
    began = time.monotonic()
    ablation = load_ablation(config)
    if bool(train) != bool(test):
        raise BadAblation("--train and --test go together: the bags to fit and those to score, of other sessions")
    ablation = replace(ablation, set=ablation.set | dict(other_settings))
    runs = runs_of(ablation)
    pretraining = load_pretrain_settings(recipe_path(ablation.base)) if ablation.base else None
    base = base_folder(pretraining, out / "base") if pretraining else None
    # Report a bad arm before any fit.
    settings = {run.folder: run_settings(ablation, run, device, base) for run in runs}
    if not train:
        require_same_sessions(ablation, out / CONFIGURATION)
    out.mkdir(parents=True, exist_ok=True)
    (out / CONFIGURATION).write_text(json.dumps(yaml.safe_load(config.read_text()), indent=1) + "\n")
    references: dict[int, dict[str, Any]] = {}
    if not train:
        sessions = simulated_sessions(ablation, out, jobs)
        references = reference_results(ablation, out, jobs)
    else:
        sessions = dict.fromkeys(ablation.seeds, Sessions(tuple(train), tuple(test)))
    if pretraining:
        base_model(pretraining, out / "base")
    roles = settings[runs[0].folder].roles
    hashes = {own: bag_hashes(own.train, own.test, jobs, roles) for own in dict.fromkeys(sessions.values())}
    tasks = {
        run.folder: RunTask(settings[run.folder], own.train, own.test, hashes[own])
        for run in runs
        for own in [sessions[run.seed]]
    }
    finished = {run.folder for run in runs if (out / run.folder / SCORES).is_file()}
    require_same_runs(
        out,
        {folder: settings[folder] for folder in settings if folder in finished},
        {folder: task.bags for folder, task in tasks.items()},
    )

    waiting = {folder: task for folder, task in tasks.items() if folder not in finished}
    cache = cache or out / "windows"
    if waiting:
        every = dict.fromkeys(bag for task in waiting.values() for bag in (*task.train, *task.test))
        prepare_windows([task.settings for task in waiting.values()], list(every), cache, jobs, out)
    work = functools.partial(one_run, cache=cache, out=out, keep=keep_weights, embedding_model=ablation.embedding_model)
    stop = began + limit_s if limit_s else float("inf")
    failed: dict[str, str] = {}
    _write_tables(out, ablation, runs, failed, references)
    with tqdm(total=len(runs), initial=len(finished), desc="runs", unit="run") as bar:

        def show(running: Sequence[str]) -> None:
            bar.set_postfix_str("; ".join(progress_text(out, folder, settings[folder]) for folder in running))

        for folder, error in as_finished(work, waiting, jobs, stop, show):
            if error and not (out / folder / SCORES).is_file():
                failed[folder] = error
                tqdm.write(f"ablate.py: {folder} failed: {error}; see {out / f'{folder}.part' / 'log.txt'}", sys.stderr)
            _write_tables(out, ablation, runs, failed, references)
            bar.update()
    left = [run.folder for run in runs if run.folder not in failed and not (out / run.folder / SCORES).is_file()]
    print(f"{len(runs) - len(failed) - len(left)} of {len(runs)} runs are in {out / 'report.html'}")
    if left:
        print(f"{len(left)} are left, and the same command continues with them: {', '.join(left)}")
    if failed:
        raise RunsFailed(
            f"{len(failed)} of {len(runs)} runs failed, and the tables are without them: {', '.join(failed)}; "
            "the same command tries them again"
        )


def _write_tables(
    out: Path, ablation: Ablation, runs: Sequence[Run], failed: Mapping[str, str], references: Mapping[int, Any]
) -> None:
    """Write tables and figures of all finished runs, whichever process finished them."""
    places = [(run, out / run.folder / SCORES) for run in runs]
    results = [(run, json.loads(scores.read_text())) for run, scores in places if scores.is_file()]
    absent = {run.folder: failed.get(run.folder, "not run yet") for run, scores in places if not scores.is_file()}
    tables.write(out, ablation, results, absent, references)

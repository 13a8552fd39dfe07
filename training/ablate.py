"""Train and score many variants of one recipe over many seeds, and make the tables and figures of a paper from them.

    python training/ablate.py --config config/ablate_workbench.yaml --out build/ablation --jobs 2
    python training/ablate.py --config my.yaml --out runs --train bags/train_* --test bags/test_*

Each run is a fit and an evaluation on sessions that no fit has seen. A run that is finished is kept: the same command
goes on where the last one ended, with more seeds or arms if the configuration has them by now. Needs no ROS.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaze_vlm_ros.errors import GazeVlmError, exit_code
from training import ablation_tables
from training.parallel import worker_pool
from training.settings import BadSettings, Settings, load_settings

SCORES = "scores.json"  # of a run, written last
_PREPARED = (  # settings that prepared windows depend on
    "model", "model_options", "task", "frames", "horizon_s", "observation_s", "stride_s", "leads_s", "gaze_window_s",
    "gaze_flow", "gaze_sigma", "gaze_min_confidence", "gaze_error",
)  # fmt: skip


class BadAblation(GazeVlmError):
    """The configuration of an ablation cannot be used."""


class RunsFailed(GazeVlmError):
    """Some runs ended in an error; the tables hold the others."""


@dataclass(frozen=True)
class Sweep:
    """One setting over several values, for some of the arms."""

    setting: str
    values: list[Any]
    arms: list[str]


@dataclass(frozen=True)
class Ablation:
    """What config/ablate_*.yaml holds."""

    fit: str  # recipe, a path relative to the working folder or to this repository
    arms: dict[str, dict[str, Any]]  # settings that make each variant from the recipe; the first is what we propose
    seeds: list[int]
    baseline: str  # the arm that the others are compared with, seed by seed
    set: dict[str, Any] = field(default_factory=dict)  # settings of all arms
    sweeps: dict[str, Sweep] = field(default_factory=dict)
    simulate: dict[str, Any] = field(default_factory=dict)  # the workbench's sessions, where no bags are given


@dataclass(frozen=True)
class Run:
    """One fit: an arm, the value of a sweep or none, a seed."""

    arm: str
    sweep: str  # "" = none
    value: Any
    seed: int
    overrides: dict[str, Any]

    @property
    def folder(self) -> str:
        """A name of its own, readable."""
        parts = [self.arm, *([f"{self.sweep}={self.value}"] if self.sweep else []), f"seed{self.seed}"]
        return "__".join("".join(c if c.isalnum() or c in "=.-" else "_" for c in part) for part in parts)


def load_ablation(path: Path) -> Ablation:
    """Raises BadAblation with the entry that is wrong."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        values["sweeps"] = {name: Sweep(**sweep) for name, sweep in values.get("sweeps", {}).items()}
        ablation = Ablation(**values)
    except OSError as error:
        raise BadAblation(f"no configuration {path}: {error.strerror}; config/ablate_workbench.yaml is one") from None
    except (yaml.YAMLError, TypeError, AttributeError, KeyError) as error:
        raise BadAblation(f"{path} is no ablation ({error}); see config/ablate_workbench.yaml") from None
    named = [(f"sweep {name!r}", arm) for name, sweep in ablation.sweeps.items() for arm in sweep.arms]
    for place, arm in [("baseline", ablation.baseline), *named]:
        if arm not in ablation.arms:
            raise BadAblation(f"{path}: {place} names arm {arm!r}, and there are only {', '.join(ablation.arms)}")
    return ablation


def runs_of(ablation: Ablation) -> list[Run]:
    """All runs, the arms themselves with all their seeds first: a run that is cut short has the main table."""
    runs = [Run(arm, "", None, seed, own) for seed in ablation.seeds for arm, own in ablation.arms.items()]
    for name, sweep in ablation.sweeps.items():
        for seed in ablation.seeds:
            for value in sweep.values:
                changed = {sweep.setting: value}
                runs += [Run(arm, name, value, seed, ablation.arms[arm] | changed) for arm in sweep.arms]
    return runs


def main(argv: Sequence[str] | None = None) -> int:
    began = time.monotonic()
    arguments = _parser().parse_args(argv)
    ablation = load_ablation(arguments.config)
    if bool(arguments.train) != bool(arguments.test):
        raise BadAblation("--train and --test go together: the bags to fit and those to score, of other sessions")
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    (out / "settings.json").write_text(json.dumps(yaml.safe_load(arguments.config.read_text()), indent=1) + "\n")
    runs = runs_of(ablation)
    recipe = functools.partial(_arguments, ablation, arguments.device)
    for run in runs:  # a mistake in the last arm is told before the first fit
        _settings(recipe(run))
    train, test = arguments.train, arguments.test
    if not train:
        train, test = simulated(ablation, out, arguments.jobs)

    waiting = [run for run in runs if not (out / run.folder / SCORES).is_file()]
    cache = arguments.cache or out / "windows"
    if waiting:
        _prepare(recipe, waiting, [*train, *test], cache, arguments.jobs, out)
    work = functools.partial(one_run, train=train, test=test, cache=cache, out=out, keep=arguments.keep_weights)
    failed: dict[str, str] = {}
    bar = tqdm(total=len(runs), initial=len(runs) - len(waiting), desc="runs", unit="run")
    with bar, worker_pool(arguments.jobs) as pool:
        pending: set[Future[tuple[str, str]]] = set()
        queue = iter(waiting)
        while True:
            late = arguments.limit_s and time.monotonic() - began > arguments.limit_s
            while not late and len(pending) < arguments.jobs and (following := next(queue, None)) is not None:
                pending.add(pool.submit(work, following.folder, recipe(following)))
            if not pending:
                break
            done = next(as_completed(pending))
            pending.remove(done)
            folder, error = done.result()
            if error:
                failed[folder] = error
            bar.update()
    finished = [run for run in runs if (out / run.folder / SCORES).is_file()]
    ablation_tables.write(
        out, ablation, [(run, json.loads((out / run.folder / SCORES).read_text())) for run in finished]
    )
    left = len(runs) - len(finished) - len(failed)
    print(f"{len(finished)} of {len(runs)} runs are in {out / 'report.html'}" + (f"; {left} are left" if left else ""))
    if failed:
        folder, error = next(iter(failed.items()))
        raise RunsFailed(f"{len(failed)} runs failed; {folder}: {error}; see {out / folder / 'log.txt'}")
    return 0


def one_run(
    folder: str, arguments: list[str], train: list[Path], test: list[Path], cache: Path, out: Path, keep: bool
) -> tuple[str, str]:
    """Fit and evaluate in this process; (folder, error or "")."""
    from training import evaluate, fit

    place, unfinished = out / folder, out / f"{folder}.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    weights, scores = unfinished / "checkpoint", unfinished / SCORES
    began = time.monotonic()
    with (unfinished / "log.txt").open("w") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        try:
            fit.main([*arguments, "--cache", str(cache), "--out", str(weights), *map(str, train)])
            fitted = time.monotonic()
            options = ["--json", str(scores), "--cache", str(cache), "--device", _settings(arguments).device]
            evaluate.main([str(weights), *map(str, test), *options])
        except GazeVlmError as error:
            return folder, str(error)
    result = json.loads(scores.read_text())
    result["seconds"] = {"fit": fitted - began, "evaluate": time.monotonic() - fitted}
    for name in ("windows", "examples", "sessions"):  # a megabyte each, and not in any table
        result.pop(name, None)
    shutil.copy(weights / "settings.yaml", unfinished / "settings.yaml")
    shutil.copy(weights / "metrics.jsonl", unfinished / "metrics.jsonl")
    if not keep:
        shutil.rmtree(weights)
    scores.write_text(json.dumps(result, indent=1))
    unfinished.replace(place)
    return folder, ""


def simulated(ablation: Ablation, out: Path, jobs: int) -> tuple[list[Path], list[Path]]:
    """Bags of the simulated workbench to train on and to test on, each of a person of its own; made where missing."""
    from gaze_vlm_ros.sim.bench_session import BenchSettings

    wanted = ablation.simulate
    if not wanted:
        raise BadAblation("the configuration simulates nothing: give --train and --test")
    kinds = [
        ("train", wanted["training_sessions"], "workbench"),
        ("held_out", wanted["held_out_sessions"], "workbench"),
        ("misleading", wanted["misleading_sessions"], "misleading"),
    ]
    plans: list[tuple[Path, BenchSettings]] = []
    for kind, count, scene in kinds:
        for number in range(count):
            seed, task = len(plans), wanted["tasks"][number % len(wanted["tasks"])]
            settings = BenchSettings(
                seed=seed, person=f"person_{seed:03d}", task=task, scene=scene, duration_s=wanted["session_s"]
            )
            plans.append((out / "bags" / f"{kind}_{number:03d}", settings))
    missing = [plan for plan in plans if not plan[0].is_dir()]
    if missing:
        with worker_pool(jobs) as pool:
            list(tqdm(pool.map(_simulate, missing), total=len(missing), desc="simulated sessions", unit="session"))
    bags = [bag for bag, _ in plans]
    return bags[: wanted["training_sessions"]], bags[wanted["training_sessions"] :]


def _simulate(plan: tuple[Path, Any]) -> None:
    from gaze_vlm_ros.sim.bench_session import write_bag

    bag, settings = plan
    unfinished = bag.with_name(f".{bag.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    write_bag(settings, unfinished)
    unfinished.replace(bag)


def _prepare(recipe: Any, runs: Sequence[Run], bags: Sequence[Path], cache: Path, jobs: int, out: Path) -> None:
    """Convert all bags once, before many runs would do it at the same time."""
    from training import fit

    known: set[str] = set()
    for run in runs:
        arguments = recipe(run)
        # What changes the prepared windows; seeds, losses and steps do not.
        settings = _settings([*arguments, "--set", "seed=0"])
        key = json.dumps([settings.gaze_as == "drawn", *(getattr(settings, name) for name in _PREPARED)])
        if key not in known:
            known.add(key)
            own = ["--set", "validation=0.0", "--set", "keep=last", "--workers", str(jobs), "--prepare-only"]
            fit.main([*arguments, *own, "--cache", str(cache), "--out", str(out / "prepared"), *map(str, bags)])


def _arguments(ablation: Ablation, device: str, run: Run) -> list[str]:
    recipe = Path(ablation.fit)
    if not recipe.is_file():
        recipe = Path(__file__).resolve().parents[1] / ablation.fit
    values = ablation.set | run.overrides | {"seed": run.seed, "device": device}
    options = [part for key, value in values.items() for part in ("--set", f"{key}={_yaml(value)}")]
    return ["--config", str(recipe), *options]


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).replace("\n...", "").strip()


def _settings(arguments: Sequence[str]) -> Settings:
    values = [value for option, value in itertools.pairwise(arguments) if option == "--set"]
    try:
        return load_settings(Path(arguments[1]), values)
    except BadSettings as error:
        raise BadAblation(f"an arm cannot be trained: {error}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="arms, seeds and sweeps; config/ablate_*.yaml")
    parser.add_argument("--out", type=Path, required=True, help="folder of runs, tables and figures")
    parser.add_argument("--train", nargs="+", type=Path, metavar="BAG", help="bags to fit; none = simulated ones")
    parser.add_argument("--test", nargs="+", type=Path, metavar="BAG", help="bags to score, of other sessions")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time (default: one a core)")
    parser.add_argument("--device", default="auto", help="auto (the default), cpu or cuda; jobs share a GPU")
    parser.add_argument("--limit-s", type=float, default=0.0, help="start no run after so many seconds (0 = no limit)")
    parser.add_argument("--cache", type=Path, help="folder of prepared windows (default: in --out)")
    parser.add_argument("--keep-weights", action="store_true", help="keep every checkpoint")
    return parser


if __name__ == "__main__":
    sys.exit(exit_code("ablate.py", main))

"""Train and score many variants of one recipe over many seeds, and make the tables and figures of a paper from them.

    python training/ablate.py --config config/ablate_workbench.yaml --out build/ablation --jobs 2
    python training/ablate.py --config my.yaml --out runs --train bags/train_* --test bags/test_*

Each run is a fit and an evaluation on sessions that no fit has seen. A run that is finished is kept: the same command
goes on where the last one ended, with more seeds or arms if the configuration has them by now. Tables and figures are
made anew after each run, and a run that fails does not hold up the others. Needs no ROS.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import itertools
import json
import os
import shutil
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaze_vlm_ros.errors import GazeVlmError, exit_code
from training import ablation_tables
from training.bags import bag_digest, find_bags, hash_of
from training.parallel import bag_mapper, worker_pool
from training.settings import BadSettings, Settings, load_settings

SCORES = "scores.json"  # of a run, written last
SETTINGS = "settings.yaml"  # of a run: those of its fit
_UNFINISHED = ".part"  # folder of simulated sessions that are being written
_FREE = ("device", "loader_workers")  # settings that say how fast the same comes
_PREPARED = (  # settings that prepared windows depend on
    "model", "model_options", "task", "frames", "horizon_s", "observation_s", "stride_s", "leads_s", "gaze_window_s",
    "gaze_samples", "gaze_flow", "gaze_sigma", "gaze_min_confidence", "gaze_error",
)  # fmt: skip


class BadAblation(GazeVlmError):
    """The configuration of an ablation cannot be used."""


class RunsFailed(GazeVlmError):
    """Some runs ended in an error; the tables hold the others."""


class OtherRuns(GazeVlmError):
    """What is in --out was made with other settings or of other bags, under the same names."""


@dataclass(frozen=True)
class Sweep:
    """Several values, for some of the arms: of one setting, or each of them settings with a name."""

    values: list[Any] | dict[Any, dict[str, Any]]  # of `setting`; without one, name -> settings
    arms: list[str]
    setting: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.values, list if self.setting else dict):
            raise TypeError(
                "a sweep needs a setting and a list of values, or no setting and values: {name: {settings}}"
            )

    def changes(self) -> list[tuple[Any, dict[str, Any]]]:
        """(value, settings that make it) of each."""
        if isinstance(self.values, dict):
            return list(self.values.items())
        return [(value, {self.setting: value}) for value in self.values]


@dataclass(frozen=True)
class Ablation:
    """What config/ablate_*.yaml holds."""

    fit: str  # recipe, a path relative to the working folder or to this repository
    arms: dict[str, dict[str, Any]]  # settings that make each variant from the recipe; the first is what we propose
    seeds: list[int]
    baseline: str  # the arm that the others are compared with, seed by seed
    set: dict[str, Any] = field(default_factory=dict)  # settings of all arms
    embedding_model: str = ""  # of the semantic score, a folder or hub name; empty = no such score
    sweeps: dict[str, Sweep] = field(default_factory=dict)
    simulate: dict[str, Any] = field(default_factory=dict)  # the workbench's sessions, where no bags are given


@dataclass(frozen=True, eq=False)
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
            for value, changed in sweep.changes():
                runs += [Run(arm, name, value, seed, ablation.arms[arm] | changed) for arm in sweep.arms]
    return runs


def main(argv: Sequence[str] | None = None) -> int:
    began = time.monotonic()
    arguments = _parser().parse_args(argv)
    ablation = load_ablation(arguments.config)
    if bool(arguments.train) != bool(arguments.test):
        raise BadAblation("--train and --test go together: the bags to fit and those to score, of other sessions")
    out: Path = arguments.out
    runs = runs_of(ablation)
    recipe = functools.partial(_arguments, ablation, arguments.device)
    wanted = {run: _settings(recipe(run)) for run in runs}  # a mistake in the last arm is told before the first fit
    if not arguments.train:
        require_same_sessions(ablation, out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "settings.json").write_text(json.dumps(yaml.safe_load(arguments.config.read_text()), indent=1) + "\n")
    train, test = arguments.train, arguments.test
    if not train:
        train, test = simulated(ablation, out, arguments.jobs)
    bags = bag_hashes(train, test, arguments.jobs)
    finished = [run for run in runs if (out / run.folder / SCORES).is_file()]
    require_same_runs(out, {run.folder: wanted[run] for run in finished}, bags)

    waiting = [run for run in runs if run not in finished]
    cache = arguments.cache or out / "windows"
    if waiting:
        _prepare(recipe, waiting, [*train, *test], cache, arguments.jobs, out)
    work = functools.partial(
        one_run,
        train=train,
        test=test,
        bags=bags,
        cache=cache,
        out=out,
        keep=arguments.keep_weights,
        embedding_model=ablation.embedding_model,
    )
    tasks = {run.folder: recipe(run) for run in waiting}
    stop = began + arguments.limit_s if arguments.limit_s else float("inf")
    failed: dict[str, str] = {}
    _write(out, ablation, runs, failed)
    with tqdm(total=len(runs), initial=len(finished), desc="runs", unit="run") as bar:
        for folder, error in _done(work, tasks, arguments.jobs, stop):
            if error and not (out / folder / SCORES).is_file():
                failed[folder] = error
                tqdm.write(f"ablate.py: {folder} failed: {error}; see {out / f'{folder}.part' / 'log.txt'}", sys.stderr)
            _write(out, ablation, runs, failed)
            bar.update()
    left = [run.folder for run in runs if run.folder not in failed and not (out / run.folder / SCORES).is_file()]
    print(f"{len(runs) - len(failed) - len(left)} of {len(runs)} runs are in {out / 'report.html'}")
    if left:
        print(f"{len(left)} are left, and the same command goes on with them: {', '.join(left)}")
    if failed:
        raise RunsFailed(
            f"{len(failed)} of {len(runs)} runs failed, and the tables are without them: {', '.join(failed)}; "
            "the same command tries them again"
        )
    return 0


def _done(work: Any, tasks: Mapping[str, list[str]], jobs: int, stop: float) -> Iterator[tuple[str, str]]:
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
            result = _fit_and_evaluate(unfinished / "checkpoint", arguments, train, test, cache, embedding_model)
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


def _fit_and_evaluate(
    weights: Path, arguments: list[str], train: list[Path], test: list[Path], cache: Path, embedding_model: str
) -> dict[str, Any]:
    """Scores as evaluate.py writes them, without what no table holds, and `seconds` of both."""
    from training import evaluate, fit

    began = time.monotonic()
    fit.main([*arguments, "--cache", str(cache), "--out", str(weights), *map(str, train)])
    fitted = time.monotonic()
    scores = weights.with_name(SCORES)
    options = ["--json", str(scores), "--cache", str(cache), "--device", _settings(arguments).device]
    options += ["--embedding-model", embedding_model] if embedding_model else []
    evaluate.main([str(weights), *map(str, test), *options])
    result: dict[str, Any] = json.loads(scores.read_text())
    scores.unlink()
    for name in ("windows", "examples", "sessions"):  # a megabyte each
        result.pop(name, None)
    return result | {"seconds": {"fit": fitted - began, "evaluate": time.monotonic() - fitted}}


def _write(out: Path, ablation: Ablation, runs: Sequence[Run], failed: Mapping[str, str]) -> None:
    """Tables and figures of what is finished, by this process or another one."""
    places = [(run, out / run.folder / SCORES) for run in runs]
    results = [(run, json.loads(scores.read_text())) for run, scores in places if scores.is_file()]
    absent = {run.folder: failed.get(run.folder, "not run yet") for run, scores in places if not scores.is_file()}
    ablation_tables.write(out, ablation, results, absent)


def bag_hashes(train: Sequence[Path], test: Sequence[Path], jobs: int) -> dict[str, str]:
    """Names of what is fitted and of what is scored, by content. Raises what load_session raises."""
    parts = {"train": find_bags(train), "test": find_bags(test)}
    with bag_mapper(jobs) as mapper:
        return {name: hash_of(mapper(bag_digest, bags)) for name, bags in parts.items()}


def require_same_runs(out: Path, wanted: Mapping[str, Settings], bags: Mapping[str, str]) -> None:
    """Raises OtherRuns where finished runs (folder -> what its settings must be) were made with others, or of others.

    Runs of before bags were noted are taken to be of these, and named.
    """
    unknown = []
    for folder, now in wanted.items():
        before = load_settings(out / folder / SETTINGS)
        changed = [
            f"{field.name} was {getattr(before, field.name)!r} and is {getattr(now, field.name)!r}"
            for field in dataclasses.fields(Settings)
            if field.name not in _FREE and getattr(before, field.name) != getattr(now, field.name)
        ]
        noted = json.loads((out / folder / SCORES).read_text()).get("bags")
        changed += [f"the bags to {name} were others" for name in bags if noted and noted[name] != bags[name]]
        if changed:
            raise OtherRuns(
                f"{out / folder} is finished, and not what the configuration asks for: {', '.join(changed)}; give "
                "another --out, or remove that folder to run it again"
            )
        if not noted:
            unknown.append(folder)
    if unknown:
        print(f"{len(unknown)} runs do not say of which bags they are, and are kept: {', '.join(unknown)}")


def require_same_sessions(ablation: Ablation, out: Path) -> None:
    """Raises OtherRuns where the simulated sessions in `out` are not those of the configuration."""
    if not (out / "bags").is_dir() or not (out / "settings.json").is_file():
        return
    before = json.loads((out / "settings.json").read_text()).get("simulate", {})
    changed = [
        f"{name} was {before.get(name)!r} and is {ablation.simulate.get(name)!r}"
        for name in {**before, **ablation.simulate}
        if before.get(name) != ablation.simulate.get(name)
    ]
    if before and changed:
        raise OtherRuns(
            f"{out / 'bags'} holds other simulated sessions: {', '.join(changed)}; give another --out, or remove {out}"
        )


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
        shutil.rmtree(out / "bags" / _UNFINISHED)
    bags = [bag for bag, _ in plans]
    return bags[: wanted["training_sessions"]], bags[wanted["training_sessions"] :]


def _simulate(plan: tuple[Path, Any]) -> None:
    from gaze_vlm_ros.sim.bench_session import write_bag

    bag, settings = plan
    unfinished = bag.parent / _UNFINISHED / bag.name  # under its own name, which the bag holds as the session's
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
            # What goes wrong here, goes wrong in the run, which tells it by name.
            with contextlib.suppress(Exception):
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

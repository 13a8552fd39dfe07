"""Train and score many variants of one recipe over many seeds, and make the tables and figures of a paper from them.

    python training/ablate.py --config config/ablate_workbench.yaml --out build/ablation --jobs 2
    python training/ablate.py --config my.yaml --out runs --train bags/train_* --test bags/test_*

Each run is a fit and an evaluation on sessions that no fit has seen. A run that is finished is kept: the same command
goes on where the last one ended, with more seeds or arms if the configuration has them by now. Tables and figures are
made anew after each run, and a run that fails does not hold up the others. Needs no ROS.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from tqdm import tqdm

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaze_vlm_ros.errors import GazeVlmError, exit_code
from training.ablation import tables as ablation_tables
from training.ablation.guards import bag_hashes, require_same_runs, require_same_sessions
from training.ablation.plan import Ablation, BadAblation, Run, load_ablation, runs_of
from training.ablation.runner import SCORES, as_finished, fit_arguments, one_run, prepare_windows, settings_of
from training.ablation.simulated import simulated


class RunsFailed(GazeVlmError):
    """Some runs ended in an error; the tables hold the others."""


def main(argv: Sequence[str] | None = None) -> int:
    began = time.monotonic()
    arguments = _parser().parse_args(argv)
    ablation = load_ablation(arguments.config)
    if bool(arguments.train) != bool(arguments.test):
        raise BadAblation("--train and --test go together: the bags to fit and those to score, of other sessions")
    out: Path = arguments.out
    runs = runs_of(ablation)
    recipe = functools.partial(fit_arguments, ablation, arguments.device)
    wanted = {run: settings_of(recipe(run)) for run in runs}  # a mistake in the last arm is told before the first fit
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
        prepare_windows(recipe, waiting, [*train, *test], cache, arguments.jobs, out)
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
        for folder, error in as_finished(work, tasks, arguments.jobs, stop):
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


def _write(out: Path, ablation: Ablation, runs: Sequence[Run], failed: Mapping[str, str]) -> None:
    """Tables and figures of what is finished, by this process or another one."""
    places = [(run, out / run.folder / SCORES) for run in runs]
    results = [(run, json.loads(scores.read_text())) for run, scores in places if scores.is_file()]
    absent = {run.folder: failed.get(run.folder, "not run yet") for run, scores in places if not scores.is_file()}
    ablation_tables.write(out, ablation, results, absent)


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

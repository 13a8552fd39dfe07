"""Sessions of the simulated workbench to train and test on."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gaze_vlm_ros.sim.bench_session import write_bag
from gaze_vlm_ros.sim.bench_settings import BenchSettings
from training.ablation.plan import Ablation, BadAblation
from training.data.workers import worker_pool

_UNFINISHED = ".part"  # folder for sessions while they are written


@dataclass(frozen=True)
class Sessions:
    """Bags to fit and bags to score."""

    train: tuple[Path, ...]
    test: tuple[Path, ...]


def simulated_sessions(ablation: Ablation, out: Path, jobs: int) -> dict[int, Sessions]:
    """Return the sessions of each seed of the ablation on the simulated workbench, each session of another person.

    With `for_each_seed` in the configuration each seed has its own sessions and persons, in out/bags/seed<N>: intervals
    over seeds then cover the drawing of sessions too. Otherwise all seeds share those in out/bags. Missing ones are
    written, `jobs` at a time. Raises BadAblation if the configuration simulates nothing.
    """
    simulate = ablation.simulate
    if not simulate:
        raise BadAblation("the configuration simulates nothing: give --train and --test")
    own = bool(simulate.get("for_each_seed", False))
    plans = {seed: session_plans(simulate, out / "bags" / f"seed{seed}" if own else out / "bags", seed if own else 0)
             for seed in ablation.seeds}  # fmt: skip
    missing = {bag: settings for plan in plans.values() for bag, settings in plan if not bag.is_dir()}
    if missing:
        with worker_pool(jobs) as pool:
            work = pool.map(_simulate, missing.items())
            list(tqdm(work, total=len(missing), desc="simulated sessions", unit="session"))
        for folder in {bag.parent for bag in missing}:
            shutil.rmtree(folder / _UNFINISHED)
    train = simulate["training_sessions"]
    return {
        seed: Sessions(tuple(bag for bag, _ in plan[:train]), tuple(bag for bag, _ in plan[train:]))
        for seed, plan in plans.items()
    }


def session_plans(simulate: Mapping[str, Any], folder: Path, draw: int) -> list[tuple[Path, BenchSettings]]:
    """Return (bag, settings) of each session, those to train on first. draw: 0 = as in earlier versions."""
    kinds = [
        ("train", simulate["training_sessions"], "workbench"),
        ("held_out", simulate["held_out_sessions"], "workbench"),
        ("misleading", simulate["misleading_sessions"], "misleading"),
    ]
    plans: list[tuple[Path, BenchSettings]] = []
    for kind, count, scene in kinds:
        for number in range(count):
            seed, task = 10_000 * draw + len(plans), simulate["tasks"][number % len(simulate["tasks"])]
            settings = BenchSettings(
                bench=simulate.get("bench", BenchSettings.bench),
                seed=seed,
                person=f"person_{seed:03d}",
                task=task,
                scene=scene,
                duration_s=simulate["session_s"],
                width=simulate.get("width", BenchSettings.width),
                height=simulate.get("height", BenchSettings.height),
                kinds="known" if kind == "train" else simulate.get("held_out_kinds", BenchSettings.kinds),
            )
            plans.append((folder / f"{kind}_{number:03d}", settings))
    return plans


def _simulate(plan: tuple[Path, Any]) -> None:
    bag, settings = plan
    unfinished = bag.parent / _UNFINISHED / bag.name  # the bag's own name, which it records as the session's
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    write_bag(settings, unfinished)
    unfinished.replace(bag)

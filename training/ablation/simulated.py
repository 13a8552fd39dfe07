"""Sessions of the simulated workbench to train and test on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gaze_vlm_ros.sim.bench_session import write_bag
from gaze_vlm_ros.sim.bench_settings import BenchSettings
from training.ablation.plan import Ablation, BadAblation
from training.data.workers import worker_pool

_UNFINISHED = ".part"  # folder for sessions while they are written


def simulated_sessions(ablation: Ablation, out: Path, jobs: int) -> tuple[list[Path], list[Path]]:
    """Return (bags to train on, bags to test on) of the simulated workbench, each of another person.

    Missing ones are written to out/bags, `jobs` at a time. Raises BadAblation if the configuration simulates nothing.
    """
    simulate = ablation.simulate
    if not simulate:
        raise BadAblation("the configuration simulates nothing: give --train and --test")
    kinds = [
        ("train", simulate["training_sessions"], "workbench"),
        ("held_out", simulate["held_out_sessions"], "workbench"),
        ("misleading", simulate["misleading_sessions"], "misleading"),
    ]
    plans: list[tuple[Path, BenchSettings]] = []
    for kind, count, scene in kinds:
        for number in range(count):
            seed, task = len(plans), simulate["tasks"][number % len(simulate["tasks"])]
            settings = BenchSettings(
                bench=simulate.get("bench", BenchSettings.bench),
                seed=seed,
                person=f"person_{seed:03d}",
                task=task,
                scene=scene,
                duration_s=simulate["session_s"],
                kinds="known" if kind == "train" else simulate.get("held_out_kinds", BenchSettings.kinds),
            )
            plans.append((out / "bags" / f"{kind}_{number:03d}", settings))
    missing = [plan for plan in plans if not plan[0].is_dir()]
    if missing:
        with worker_pool(jobs) as pool:
            list(tqdm(pool.map(_simulate, missing), total=len(missing), desc="simulated sessions", unit="session"))
        shutil.rmtree(out / "bags" / _UNFINISHED)
    bags = [bag for bag, _ in plans]
    return bags[: simulate["training_sessions"]], bags[simulate["training_sessions"] :]


def _simulate(plan: tuple[Path, Any]) -> None:
    bag, settings = plan
    unfinished = bag.parent / _UNFINISHED / bag.name  # the bag's own name, which it records as the session's
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    write_bag(settings, unfinished)
    unfinished.replace(bag)

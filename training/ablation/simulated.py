"""Sessions of the simulated bench to train and test on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tqdm import tqdm

from training.ablation.plan import Ablation, BadAblation
from training.data.workers import worker_pool

_UNFINISHED = ".part"  # folder of simulated sessions that are being written


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

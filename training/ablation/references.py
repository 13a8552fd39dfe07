"""Rules and the ceiling on an ablation's simulated sessions, beside which its arms stand."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gaze_vlm_ros.sim.bench_settings import BenchSettings
from gaze_vlm_ros.storage.atomic import write_text
from training.ablation.plan import Ablation
from training.ablation.simulated import session_plans
from training.data.workers import worker_pool
from training.reference.given_sessions import reference_scores
from training.reference.rules import RULES
from training.reference.seen import Question


def reference_results(ablation: Ablation, out: Path, jobs: int) -> dict[int, dict[str, Any]]:
    """Return seed -> scene -> name -> scores of rules and the ceiling on the simulated sessions; kept in out/reference.

    Rules are fitted on the seed's training sessions. Empty with reference_particles: 0.
    """
    if not ablation.reference_particles:
        return {}
    simulate, folder = ablation.simulate, out / "reference"
    folder.mkdir(parents=True, exist_ok=True)
    draws = {seed: seed if simulate.get("for_each_seed", False) else 0 for seed in ablation.seeds}
    asked = {
        draw: folder / f"sessions{draw}__{ablation.reference_particles}_particles.json" for draw in set(draws.values())
    }
    if missing := [(draw, path) for draw, path in asked.items() if not path.is_file()]:
        score = functools.partial(_score_references, simulate=dict(simulate), particles=ablation.reference_particles)
        with worker_pool(jobs) as pool:
            list(tqdm(pool.map(score, missing), total=len(missing), desc="rules and ceiling", unit="seed"))
    return {seed: json.loads(asked[draw].read_text()) for seed, draw in draws.items()}


def _score_references(asked: tuple[int, Path], simulate: Mapping[str, Any], particles: int) -> None:
    draw, path = asked
    settings = [own for _, own in session_plans(simulate, path.parent, draw)]
    train = simulate["training_sessions"]
    held_out: dict[str, list[BenchSettings]] = {}
    for own in settings[train:]:
        held_out.setdefault(own.scene, []).append(own)
    write_text(path, json.dumps(reference_scores(settings[:train], held_out, Question(), particles, tuple(RULES))))

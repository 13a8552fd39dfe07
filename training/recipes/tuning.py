"""Choose a setting of each arm by validation sessions. Test sessions are not looked at."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.ablation.plan import Ablation, Run, file_name, run_settings
from training.recipes.recipe import Tuning
from training.run.fitting import FitRequest, fit
from training.run.run_folder import METRICS

CHOSEN = "tuning.json"


def tuned_arms(
    ablation: Ablation, tuning: Tuning, train: Sequence[Path], out: Path, cache: Path, device: str
) -> dict[str, dict[str, Any]]:
    """Return all arms, with the value of `tuning.setting` that had the least validation loss in each tuned one.

    One fit for each arm and value, with the first seed; finished ones are kept. Writes all losses to out/tuning.json.
    """
    losses: dict[str, dict[str, float]] = {}
    arms: dict[str, dict[str, Any]] = {name: dict(own) for name, own in ablation.arms.items()}
    for arm in tuning.arms:
        losses[arm] = {}
        for value in tuning.values:
            run = Run(arm, "", None, ablation.seeds[0], ablation.arms[arm] | {tuning.setting: value})
            folder = out / "tuning" / f"{file_name(arm)}__{file_name(str(value))}"
            result = folder / "validation.json"
            if not result.is_file():
                fit(run_settings(ablation, run, device), FitRequest(bags=list(train), out=folder / "fit", cache=cache))
                result.write_text(json.dumps(_least_loss(folder / "fit" / METRICS)))
            losses[arm][str(value)] = json.loads(result.read_text())
        best = min(tuning.values, key=lambda value, own=losses[arm]: own[str(value)])  # type: ignore[misc]
        arms[arm][tuning.setting] = best
    record = {"setting": tuning.setting, "validation_lm": losses, "chosen": _chosen(arms, tuning)}
    (out / CHOSEN).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return arms


def _least_loss(metrics: Path) -> float:
    rows = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    return float(min(row["validation_lm"] for row in rows if "validation_lm" in row))


def _chosen(arms: Mapping[str, Mapping[str, Any]], tuning: Tuning) -> dict[str, Any]:
    return {arm: arms[arm][tuning.setting] for arm in tuning.arms}

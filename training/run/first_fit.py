"""The first of the two fits of JTT: short, and all windows alike; what it gets wrong weighs more in the second."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from gaze_vlm_ros.storage.atomic import write_text
from training.run.job import Job
from training.run.loop import train
from training.run.objective import wrong_rows
from training.run.optimizer import make_optimizer
from training.run.run_folder import FIRST, STATE, WRONG
from training.run.saved_state import read_state, set_weights


def first_fit(model: Any, weights: Mapping[str, torch.nn.Parameter], job: Job, out: Path) -> list[int] | None:
    """Return the rows of the windows that the first fit gets wrong, or None after an interrupt, with the state saved.

    The weights are then those before the fit again. Logs and result are in the folder FIRST of `out`: a fit that is
    resumed goes on with them.
    """
    folder = out / FIRST
    if (folder / WRONG).is_file():
        wrong: list[int] = json.loads((folder / WRONG).read_text(encoding="utf-8"))["wrong"]
        return wrong
    folder.mkdir(parents=True, exist_ok=True)
    settings = replace(
        job.settings, objective="mean", steps=max(1, round(job.settings.jtt_share * job.settings.steps)), keep="last"
    )
    first = replace(job, settings=settings)
    state = None
    if (folder / STATE).is_file():
        state = read_state(folder, job.data.sessions, job.data_hash, job.accelerator)
    start = {name: weight.detach().clone() for name, weight in weights.items()}
    optimizer = job.accelerator.prepare(make_optimizer(weights, settings))
    if train(model, weights, optimizer, first, folder, state) is None:
        return None
    wrong = wrong_rows(model, job.data, job.parts.training, settings, job.device)
    set_weights(weights, start)
    torch.manual_seed(settings.seed + 1_000_003 * job.accelerator.process_index)  # dropout of the second fit
    if job.accelerator.is_main_process:
        write_text(folder / WRONG, json.dumps({"wrong": wrong, "of": len(job.parts.training)}) + "\n")
        (folder / STATE).unlink(missing_ok=True)
    return wrong

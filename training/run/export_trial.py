"""Try what comes after the last step before the first: rank, generate, save and load again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.loading import load_processor, load_vlm
from training.evaluation.answers import generate_windows, rank_windows
from training.run.job import Job
from training.run.saved_state import random_state, set_random_state

WHOLE_BYTES = 256 << 20  # weights up to this size are saved and loaded too; of others only processor and settings


class CannotExport(GazeVlmError):
    """The fit could train this model, but not make a checkpoint of it that answers."""


def try_export(model: Any, processor: Any, job: Job) -> None:
    """Rank and generate answers to one window, save model and processor, and load them again. Raises CannotExport.

    model: before adapters are merged. Weights, mode and random generators stay as they are.
    """
    random, training = random_state(), model.training
    rows = job.parts.training[:1]
    model.eval()
    try:
        with tempfile.TemporaryDirectory(prefix="gaze_vlm_trial_") as folder:
            steps: dict[str, Callable[[], object]] = {
                "rank the labels": lambda: [rank_windows(model, data, rows, job.device) for data in job.questions],
                "generate an answer": lambda: generate_windows(model, processor, job.data, rows, job.device, 1),
                "be saved and loaded again": lambda: _save_and_load(model, processor, Path(folder), job),
            }
            for what, step in steps.items():
                try:
                    step()
                except (GazeVlmError, torch.OutOfMemoryError):
                    raise
                except Exception as error:  # whatever transformers raises there
                    reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                    raise CannotExport(
                        f"{job.settings.model} can be trained, but not {what} ({reason}), so no checkpoint would come "
                        "of it; use another model"
                    ) from error
    finally:
        set_random_state(random)
        model.train(training)


def _save_and_load(model: Any, processor: Any, folder: Path, job: Job) -> None:
    processor.save_pretrained(folder)
    whole = job.settings.train == "full" and sum(weight.nbytes for weight in model.parameters()) <= WHOLE_BYTES
    if whole and job.settings.gaze_as != "block":
        model.save_pretrained(folder)
        load_vlm(folder, dtype=next(model.parameters()).dtype)
    else:
        model.config.save_pretrained(folder)
        load_processor(folder)

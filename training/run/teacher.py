"""A teacher: a checkpoint that saw gaze, and what it says of the windows to train on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.prediction.checkpoint import CheckpointMetadata, read_checkpoint_metadata
from gaze_vlm_ros.vlm.loading import load_vlm
from gaze_vlm_ros.vlm.observation import Encoded
from gaze_vlm_ros.vlm.ranking import Ranker
from gaze_vlm_ros.windows.settings import WindowSettings
from training.data.dataset import Dataset
from training.data.preparation import prepare
from training.data.recordings import Mapper, Recording
from training.evaluation.metrics import probabilities
from training.settings import SETTINGS_FILE, Settings, load_settings


class UnfitTeacher(GazeVlmError):
    """The checkpoint cannot teach this fit."""


def read_teacher(settings: Settings, labels: Sequence[str]) -> tuple[CheckpointMetadata, Settings]:
    """Return what the teacher's folder says of it. Raises UnfitTeacher, by name, and NotACheckpoint.

    labels: of the fit.
    """
    folder = Path(settings.teacher)
    metadata, own = read_checkpoint_metadata(folder), load_settings(folder / SETTINGS_FILE)
    if metadata.gaze_use == "none":
        raise UnfitTeacher(f"the teacher {folder} saw no gaze; give one that did, with gaze_as: drawn, for example")
    if metadata.gaze_block:
        raise UnfitTeacher(f"the teacher {folder} has a gaze block, which cannot answer here; give another")
    if tuple(metadata.labels) != tuple(labels):
        raise UnfitTeacher(f"the teacher {folder} answers {list(metadata.labels)}, and this fit has {list(labels)}")
    differ = [
        f"{field.name} is {getattr(own, field.name)!r}, here {getattr(settings, field.name)!r}"
        for field in dataclasses.fields(WindowSettings)
        if getattr(own, field.name) != getattr(settings, field.name)
    ]
    if differ:
        raise UnfitTeacher(f"the teacher {folder} knows other windows: {', '.join(differ)}")
    return metadata, own


def teacher_shares(
    settings: Settings, data: Dataset, training: Sequence[Recording], device: str, cache: Path | None, mapper: Mapper
) -> NDArray[np.float32]:
    """Return (N, L) the probability of each answer for each window of `training`; zeros for other windows.

    The teacher sees gaze as in its own training: in the question, drawn into the pictures, or not at all.
    data: of the student, with the windows of `training` and others. Raises what read_teacher raises.
    """
    metadata, own = read_teacher(settings, data.labels.texts)
    model, processor = load_vlm(settings.teacher, device=device, dtype=getattr(torch, own.dtype))
    own = replace(own, gaze="real", gaze_file="")
    seen = prepare(training, data.labels, own, model, processor, cache, True, mapper, training)
    ranker = Ranker(model.eval(), seen.answer_tokens)
    rows = tqdm(range(len(seen.windows)), desc="teacher", unit="window", mininterval=0.5)
    likelihoods = np.stack([ranker.rank(_with_gaze(seen, row, device)).log_likelihoods for row in rows])
    shares = probabilities(likelihoods, metadata.temperature)
    place = {
        (seen.sessions[window.session].digest, window.at_ns): row for row, window in enumerate(seen.windows)
    }  # fmt: skip
    taught = np.zeros((len(data.windows), shares.shape[1]), np.float32)
    for row, window in enumerate(data.windows):
        found = place.get((data.sessions[window.session].digest, window.at_ns))
        if found is not None:
            taught[row] = shares[found]
    return taught


def _with_gaze(seen: Dataset, row: int, device: str) -> Encoded:
    """Return one window with its gaze in the question, where the data set has it there."""
    inputs: dict[str, Any] = seen.questions(np.array([row]), "cpu")
    if seen.gaze_prompts:
        inputs |= seen.gaze_prompts(seen.gaze_points(row))
    return Encoded({name: tensor.to(device) for name, tensor in inputs.items()}, seen.visual.to(device))

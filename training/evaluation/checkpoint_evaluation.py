"""Evaluate a checkpoint on sessions that it has never seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.labels.label_set import LabelSet
from gaze_vlm_ros.prediction.checkpoint import read_checkpoint_metadata
from gaze_vlm_ros.vlm.embeddings import load_embedder
from gaze_vlm_ros.vlm.loading import load_vlm
from training.data.preparation import prepare
from training.data.recordings import find_bags, load_recordings
from training.evaluation.answers import answer_windows
from training.evaluation.scores import score
from training.model.device import resolve_device
from training.model.gaze_block import load_gaze_block
from training.settings import SETTINGS_FILE, load_settings

# Attention is scored against where the person looked, whatever supervised training.
TRUE_GAZE: dict[str, Any] = {"gaze": "real", "gaze_error": 0.0, "gaze_shift_s": 0.0}


class TrainedOn(GazeVlmError):
    """A session given for evaluation was trained on."""


def evaluate_checkpoint(
    checkpoint: Path,
    bags: Sequence[str | Path],
    *,
    device: str = "auto",
    cache: Path | None = None,
    examples: int = 0,
    embedding_model: str = "",
    protocol: str = "",
    unknown: str = "wrong",
) -> dict[str, Any]:
    """Return all scores of a checkpoint on `bags`, see scores.score.

    device: auto, cpu, cuda or cuda:N. cache: folder of prepared windows; None = a temporary one.
    examples: windows of each scene to return in full.
    embedding_model: folder or hub name for the semantic score of generated answers; "" = no such score.
    protocol: see training.settings; "" = that of the checkpoint. unknown: what becomes of windows whose answer is not
        in the label set: wrong = they count as wrong, left-out = they do not count.
    Raises TrainedOn for a session that trained or chose the checkpoint, and what loading raises.
    """
    metadata = read_checkpoint_metadata(checkpoint)
    embed = load_embedder(embedding_model) if embedding_model else None
    settings = replace(load_settings(checkpoint / SETTINGS_FILE), **TRUE_GAZE)
    settings = replace(settings, protocol=protocol or settings.protocol)
    sessions = load_recordings(find_bags(bags), settings)
    for session in sessions:
        if session.digest in metadata.trained_on:
            raise TrainedOn(f"{session.path} was trained on (or chose the checkpoint); evaluate on other sessions")

    device = resolve_device(device)
    model, processor = load_vlm(checkpoint, device=device, dtype=getattr(torch, settings.dtype))
    labels = LabelSet(metadata.labels, metadata.verbs, metadata.object_classes)
    data = prepare(
        sessions, labels, settings, model, processor, cache, gaze_needed=False, keep_unknown=unknown == "wrong"
    )
    if metadata.gaze_block:
        load_gaze_block(model, checkpoint, data.visual)
    answers = answer_windows(model, processor, data, settings, device)
    return score(metadata, data, answers, settings, examples, embed)

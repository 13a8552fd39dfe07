"""Turns a trained model into a checkpoint: a plain Hugging Face folder that says what to ask it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.checkpoint import Card, weights_revision, write_card
from gaze_vlm_ros.labels import label_set_id
from training import metrics
from training.answers import rank_windows
from training.data import Dataset
from training.gaze_shown import asked
from training.settings import Settings


def export_checkpoint(
    out: Path,
    model: Any,
    processor: Any,
    data: Dataset,
    validation: NDArray[np.int64],
    trained_on: Sequence[str],
    data_hash: str,
    settings: Settings,
    device: str,
) -> Card:
    """Write weights, processor and, last, gaze_vlm.json into `out`: a folder without the card is not finished.

    validation: rows of the windows that probabilities are calibrated on; with none they stay uncalibrated.
    trained_on: digests of the sessions that trained or chose these weights.
    """
    model.eval()
    temperature, score_kind = 1.0, "uncalibrated"
    if len(validation):
        scores = rank_windows(model, data, validation, device)
        temperature, score_kind = metrics.fit_temperature(scores, data.answer_index[validation]), "calibrated"
    model.save_pretrained(out)
    processor.save_pretrained(out)
    revision = weights_revision(out)
    card = Card(
        question=asked(settings),
        labels=data.labels.texts,
        verbs=data.labels.verbs,
        object_classes=data.labels.object_classes,
        label_set_id=label_set_id(data.labels.texts),
        task=settings.task,
        frames=settings.frames,
        observation_s=settings.observation_s,
        horizon_s=settings.horizon_s,
        frame_size=data.frame_size,
        base_model=settings.model,
        model_id=f"{out.resolve().name}@{revision[:8]}",
        revision=revision,
        data_hash=data_hash,
        gaze_use=describe_gaze_use(settings),
        gaze_block=settings.gaze_as == "block",
        score_kind=score_kind,
        temperature=round(temperature, 4),
        trained_on=tuple(trained_on),
    )
    write_card(out, card)
    return card


def describe_gaze_use(settings: Settings) -> str:
    """For people: what gaze did in training. It does nothing afterwards."""
    if settings.gaze_as in ("text", "drawn"):
        return f"training only, {'in the question' if settings.gaze_as == 'text' else 'drawn into the pictures'}"
    if settings.gaze == "none" or settings.kl_weight == 0:
        return "none"
    schedule = f"falling to 0 at {settings.kl_until:.0%}" if settings.kl_schedule == "falling" else "constant"
    led = " of the gaze block" if settings.gaze_as == "block" else ""
    return f"training only, {settings.gaze} gaze, KL weight {settings.kl_weight:g}{led} {schedule}"

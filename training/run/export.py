"""Export a trained model as a checkpoint: a plain Hugging Face folder with question, labels and calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.labels.label_set import label_set_id
from gaze_vlm_ros.prediction.checkpoint import (
    METADATA_NAME,
    CheckpointMetadata,
    read_checkpoint_metadata,
    weights_revision,
    write_checkpoint_metadata,
)
from training.data.dataset import Dataset
from training.data.gaze_prompt import questions
from training.data.recordings import Recording
from training.evaluation import metrics
from training.evaluation.answers import rank_windows
from training.evaluation.label_statistics import GRID_S, mean_time_to_start, moments, other_share, time_to_start_error
from training.evaluation.now_evaluation import calibrate_now
from training.evaluation.stream_calibration import PRECISIONS, calibrate_stream
from training.settings import Settings


def export_checkpoint(
    out: Path,
    model: Any,
    processor: Any,
    data: Dataset,
    calibration: NDArray[np.int64],
    trained_on: Sequence[Recording],
    held_out: Sequence[Recording],
    data_hash: str,
    settings: Settings,
    device: str,
) -> CheckpointMetadata:
    """Write weights, processor and, last, gaze_vlm.json into `out`; a folder without it is not complete.

    calibration: rows of the windows to calibrate probabilities on (temperature scaling, Guo et al. 2017; abstain
        thresholds, Geifman and El-Yaniv 2017); without any they stay uncalibrated.
    trained_on, held_out: sessions that trained the weights, and sessions that chose or calibrated them.
    """
    (out / METADATA_NAME).unlink(missing_ok=True)  # of the fit that this one lengthens
    model.eval()
    texts, task = data.labels.texts, "future" if settings.asks_next else "current"
    seen, unseen = (
        moments([recording.labels for recording in recordings], data.labels, task, settings.horizon_s)
        for recordings in (trained_on, held_out)
    )
    # An answer of the stream says itself that nothing begins, or goes on.
    says_nothing = data.stream or data.asks_now
    other, starts_s = None if says_nothing else other_share(unseen), mean_time_to_start(seen, len(texts))
    start_error_s = time_to_start_error(unseen, starts_s)
    temperature, score_kind = 1.0, "uncalibrated"
    thresholds: list[tuple[float, float, float]] = []
    stream, now = None, None
    if data.now or data.asks_now:
        now = calibrate_now(model, data.now or data, calibration, settings, device)
    if data.stream:
        training = data.rows_of(range(len(trained_on)))
        training = training[[data.windows[row].of_stream for row in training]]
        stream, temperature = calibrate_stream(model, data, training, calibration, settings, device)
        score_kind = "calibrated" if len(calibration) else "uncalibrated"
    elif len(calibration):
        scores, truth = rank_windows(model, data, calibration, device), data.answer_index[calibration]
        temperature, score_kind = metrics.fit_temperature(scores, truth), "calibrated"
        published = metrics.probabilities(scores, temperature) * (1 - (other or 0.0))
        of_actions = published[:, : len(texts)]  # that nothing goes on is no answer to act on
        confidences, hits = of_actions.max(axis=1), of_actions.argmax(axis=1) == truth
        for precision in PRECISIONS:
            threshold, share = metrics.selective_threshold(confidences, hits, precision)
            # Round down, so that an answer exactly at the threshold passes.
            thresholds.append((precision, math.floor(threshold * 1e4) / 1e4, round(share, 4)))
    model.save_pretrained(out)
    processor.save_pretrained(out)
    revision = weights_revision(out)
    # What the teacher has learned from, the student has learned from.
    taught_on = read_checkpoint_metadata(settings.teacher).trained_on if settings.teacher else ()
    metadata = CheckpointMetadata(
        question=questions(settings)[0],
        labels=texts,
        verbs=data.labels.verbs,
        object_classes=data.labels.object_classes,
        label_set_id=label_set_id(texts),
        task=task,
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
        objective=describe_objective(settings),
        score_kind=score_kind,
        temperature=round(temperature, 4),
        calibrated_on=len(calibration),
        trained_on=tuple(dict.fromkeys([*(recording.digest for recording in (*trained_on, *held_out)), *taught_on])),
        other_share=None if other is None else round(other, 4),
        abstain_thresholds=tuple(thresholds),
        time_to_start_s=starts_s,
        time_to_start_source=f"mean of each label over moments {GRID_S:g} s apart in the training sessions"
        if starts_s
        else "none",
        time_to_start_error_s=None if start_error_s is None else round(start_error_s, 3),
        stream=stream,
        now=now,
    )
    write_checkpoint_metadata(out, metadata)
    return metadata


def describe_gaze_use(settings: Settings) -> str:
    """Return in words what gaze did in training. After training it does nothing."""
    if settings.gaze_as in ("text", "drawn"):
        return f"training only, {'in the question' if settings.gaze_as == 'text' else 'drawn into the pictures'}"
    if settings.gaze == "none" or settings.kl_weight == 0:
        return "none"
    if settings.gaze_as == "distilled":
        return f"training only, distilled from {settings.teacher}, KL weight {settings.kl_weight:g}"
    schedule = f"falling to 0 at {settings.kl_until:.0%}" if settings.kl_schedule == "falling" else "constant"
    block = {"block": " of the gaze block", "head": " of a head on visual tokens"}.get(settings.gaze_as, "")
    in_its_place = {"boxes": "boxes of the answer's object", "hand": "boxes of the hand", "random_box": "random boxes"}
    source = in_its_place.get(settings.gaze, f"{settings.gaze} gaze")
    shifted = f" of {settings.gaze_shift_s:+g} s" if settings.gaze_shift_s else ""
    return f"training only, {source}{shifted}, KL weight {settings.kl_weight:g}{block} {schedule}"


def describe_objective(settings: Settings) -> str:
    """Return in words how the windows were weighed."""
    if settings.objective == "group_dro":
        return f"group DRO over {settings.groups}, rate {settings.group_rate:g}"
    if settings.objective == "jtt":
        return f"JTT, first fit of {settings.jtt_share:.0%} of the steps, weight {settings.jtt_weight:g}"
    return "mean"

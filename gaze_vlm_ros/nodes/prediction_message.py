"""Build the predictor's messages: ActionPrediction, attention image, ModelInfo."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration
from sensor_msgs.msg import Image
from unique_identifier_msgs.msg import UUID

from gaze_vlm_msgs.msg import ActionCandidate, ActionPrediction, ModelInfo
from gaze_vlm_ros.nodes.stamps import duration_of, time_of
from gaze_vlm_ros.prediction.attention_map import attention_map
from gaze_vlm_ros.prediction.belief import Belief
from gaze_vlm_ros.prediction.checkpoint import CheckpointMetadata
from gaze_vlm_ros.prediction.smoothing import Smoothed
from gaze_vlm_ros.prediction.status import CurrentStatus
from gaze_vlm_ros.prediction.types import (
    WITH_CANDIDATES,
    Answer,
    AnsweredObservation,
    FrameAttention,
    NowAnswer,
    Status,
)

SCORE_KINDS = {
    "calibrated": ActionPrediction.SCORE_CALIBRATED,
    "uncalibrated": ActionPrediction.SCORE_UNCALIBRATED,
    "rank_only": ActionPrediction.SCORE_RANK_ONLY,
}


def prediction_message(
    metadata: CheckpointMetadata,
    frame_id: str,
    current: CurrentStatus,
    answered: AnsweredObservation | None,
    valid_s: float,
    max_candidates: int,
) -> ActionPrediction:
    """Message of the current status, with the candidates of `answered` where that status has any.

    valid_s: time after the last frame for which the answer may be used. revision is left at 0.
    """
    message = _blank(metadata, frame_id)
    message.status, message.status_text = int(current.status), current.text
    message.header.stamp = message.observation_start = message.valid_until = time_of(current.stamp_ns)
    if current.status in WITH_CANDIDATES and answered is not None:
        _fill_in_answer(message, metadata, answered, valid_s, max_candidates)
    return message


def _fill_in_answer(
    message: ActionPrediction,
    metadata: CheckpointMetadata,
    answered: AnsweredObservation,
    valid_s: float,
    max_candidates: int,
) -> None:
    smoothed, answer = answered.smoothed, answered.answer
    message.observation_start = time_of(answered.start_ns)
    message.valid_until = time_of(answered.stamp_ns + round(valid_s * 1e9))
    message.inference_time = duration_of(answered.inference_s)
    message.prediction_id = UUID(uuid=np.frombuffer(answered.prediction_id, np.uint8))
    message.focus_x, message.focus_y = answer.focus
    # The best comes first. Hysteresis may keep it although another candidate has become slightly more probable.
    ranked = [row for row in np.argsort(-smoothed.probabilities, kind="stable").tolist() if row != smoothed.best]
    order = [row for row in (smoothed.best, *ranked) if answer.texts[row]][:max_candidates]
    message.candidates = [
        _with_times(
            _candidate(metadata, answer.texts, row, float(smoothed.probabilities[row])), answer, row, smoothed.belief
        )
        for row in order
    ]
    nothing = answer.nothing_probability if smoothed.belief is None else smoothed.belief.nothing
    if nothing is not None:
        message.nothing_probability = nothing
    message.other_probability = max(0.0, 1.0 - (nothing or 0.0) - float(smoothed.probabilities[order].sum()))
    if metadata.task == "current":
        if message.status == Status.OK:
            message.current_action = answer.texts[smoothed.best]
            message.current_probability = float(smoothed.probabilities[smoothed.best])
        if nothing is not None:
            message.current_nothing_probability = nothing
    elif answer.now is not None and answered.now is not None:
        _fill_in_now(message, metadata, answer.now, answered.now, max_candidates)


def _fill_in_now(
    message: ActionPrediction, metadata: CheckpointMetadata, now: NowAnswer, smoothed: Smoothed, max_candidates: int
) -> None:
    """Fill in what goes on now. smoothed: of the texts of `now` and, last, nothing."""
    probabilities, nothing = smoothed.probabilities[:-1], len(now.texts)
    ranked = [row for row in np.argsort(-probabilities, kind="stable").tolist() if row != smoothed.best]
    order = [row for row in (smoothed.best, *ranked) if row != nothing][:max_candidates]
    message.current_candidates = [_candidate(metadata, now.texts, row, float(probabilities[row])) for row in order]
    message.current_nothing_probability = float(smoothed.probabilities[nothing])
    if smoothed.best != nothing:
        message.current_action = now.texts[smoothed.best]
        message.current_probability = float(probabilities[smoothed.best])


def _blank(metadata: CheckpointMetadata, frame_id: str) -> ActionPrediction:
    message = ActionPrediction(
        score_kind=SCORE_KINDS[metadata.score_kind],
        horizon=duration_of(metadata.horizon_s),
        other_probability=1.0,
        nothing_probability=math.nan,
        current_probability=math.nan,
        current_nothing_probability=math.nan,
        focus_x=math.nan,
        focus_y=math.nan,
        model_id=metadata.model_id,
        label_set_id=metadata.label_set_id,
    )
    message.header.frame_id = frame_id
    return message


def _candidate(metadata: CheckpointMetadata, texts: Sequence[str], row: int, probability: float) -> ActionCandidate:
    return ActionCandidate(
        action_id=texts[row],
        verb=metadata.verbs[row] if metadata.verbs else "",
        object_class=metadata.object_classes[row] if metadata.object_classes else "",
        text=texts[row],
        probability=probability,
        time_to_start=Duration(sec=-1),
        time_to_start_early=Duration(sec=-1),
        time_to_start_late=Duration(sec=-1),
    )


def _with_times(candidate: ActionCandidate, answer: Answer, row: int, belief: Belief | None) -> ActionCandidate:
    """Fill in when the action begins."""
    starts_s = answer.time_to_start_s if belief is None else belief.expected_s
    if starts_s is not None and math.isfinite(starts_s[row]):
        candidate.time_to_start = duration_of(max(0.0, float(starts_s[row])))
    if belief is not None:
        candidate.time_to_start_early = duration_of(float(belief.early_s[row]))
        candidate.time_to_start_late = duration_of(float(belief.late_s[row]))
        candidate.part_probabilities = belief.table[row].tolist()
    return candidate


def attention_image(attention: FrameAttention, frame_size: tuple[int, int], stamp_ns: int, frame_id: str) -> Image:
    """32FC1 image of the attention on the cells of a frame. frame_size: (width, height) px."""
    shares = attention_map(attention, frame_size)
    rows, columns = shares.shape
    message = Image(height=rows, width=columns, encoding="32FC1", step=4 * columns)
    message.header.stamp, message.header.frame_id = time_of(stamp_ns), frame_id
    message.data = array("B", shares.astype("<f4").tobytes())
    return message


def model_info(metadata: CheckpointMetadata, rate_hz: float, stamp: Any) -> ModelInfo:
    """Describe the model that answers. stamp: a builtin_interfaces Time."""
    info = ModelInfo(
        model_id=metadata.model_id,
        base_model=metadata.base_model,
        revision=metadata.revision,
        data_hash=metadata.data_hash,
        label_set_id=metadata.label_set_id,
        labels=list(metadata.labels),
        horizon=duration_of(metadata.horizon_s),
        observation=duration_of(metadata.observation_s),
        frames=metadata.frames,
        rate=rate_hz,
        gaze_use=metadata.gaze_use,
    )
    info.header.stamp = stamp
    return info

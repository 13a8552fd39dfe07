"""ActionPrediction messages: an answer with its candidates, or the reason why there is none. And ModelInfo."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration
from unique_identifier_msgs.msg import UUID

from gaze_vlm_msgs.msg import ActionCandidate, ActionPrediction, ModelInfo
from gaze_vlm_ros.nodes.stamps import duration_of, time_of
from gaze_vlm_ros.prediction.checkpoint import CheckpointMetadata
from gaze_vlm_ros.prediction.smoothing import Smoothed
from gaze_vlm_ros.prediction.types import Answer

SCORE_KINDS = {
    "calibrated": ActionPrediction.SCORE_CALIBRATED,
    "uncalibrated": ActionPrediction.SCORE_UNCALIBRATED,
    "rank_only": ActionPrediction.SCORE_RANK_ONLY,
}


@dataclass(frozen=True)
class Answered:
    """One answered observation. Stamps are those of its first and its last frame."""

    answer: Answer
    belief: Smoothed
    start_ns: int
    stamp_ns: int
    inference_s: float
    prediction_id: bytes


@dataclass(frozen=True)
class Limits:
    """What an answer must be to be one."""

    threshold: float  # least probability of the best candidate; above 1 = none promises target_precision
    target_precision: float
    valid_s: float  # from the last frame
    max_candidates: int


def without_answer(
    metadata: CheckpointMetadata, frame_id: str, status: int, text: str, stamp_ns: int
) -> ActionPrediction:
    """A message with a status and its reason. stamp_ns: of the frame that it tells of; 0 = none."""
    message = _blank(metadata, frame_id)
    message.status, message.status_text = status, text
    message.header.stamp = message.observation_start = message.valid_until = time_of(stamp_ns)
    return message


def with_answer(metadata: CheckpointMetadata, frame_id: str, answered: Answered, limits: Limits) -> ActionPrediction:
    """Status OK, or ABSTAIN where the best candidate is below the threshold."""
    message = _blank(metadata, frame_id)
    belief, answer = answered.belief, answered.answer
    message.header.stamp = time_of(answered.stamp_ns)
    message.observation_start = time_of(answered.start_ns)
    message.valid_until = time_of(answered.stamp_ns + round(limits.valid_s * 1e9))
    message.inference_time = duration_of(answered.inference_s)
    message.prediction_id = UUID(uuid=np.frombuffer(answered.prediction_id, np.uint8))
    message.focus_x, message.focus_y = answer.focus
    # The best first, which hysteresis may keep though another has become a little more probable.
    ranked = [row for row in np.argsort(-belief.probabilities, kind="stable").tolist() if row != belief.best]
    order = [belief.best, *ranked][: limits.max_candidates]
    message.candidates = [_candidate(metadata, answer, row, float(belief.probabilities[row])) for row in order]
    message.other_probability = max(0.0, 1.0 - float(belief.probabilities[order].sum()))
    best = float(belief.probabilities[belief.best])
    if best < limits.threshold:
        message.status = message.STATUS_ABSTAIN
        message.status_text = f"the best candidate has {best:.2f}, the threshold is {limits.threshold:g}"
        if limits.threshold > 1:
            message.status_text = (
                f"no probability of {metadata.model_id} promises a precision of {limits.target_precision:g}"
            )
    elif metadata.task == "current":
        message.current_action = answer.texts[belief.best]
    return message


def _blank(metadata: CheckpointMetadata, frame_id: str) -> ActionPrediction:
    message = ActionPrediction(
        score_kind=SCORE_KINDS[metadata.score_kind],
        horizon=duration_of(metadata.horizon_s),
        other_probability=1.0,
        focus_x=math.nan,
        focus_y=math.nan,
        model_id=metadata.model_id,
        label_set_id=metadata.label_set_id,
    )
    message.header.frame_id = frame_id
    return message


def _candidate(metadata: CheckpointMetadata, answer: Answer, row: int, probability: float) -> ActionCandidate:
    starts_s = answer.time_to_start_s
    return ActionCandidate(
        action_id=answer.texts[row],
        verb=metadata.verbs[row] if metadata.verbs else "",
        object_class=metadata.object_classes[row] if metadata.object_classes else "",
        text=answer.texts[row],
        probability=probability,
        time_to_start=duration_of(max(0.0, float(starts_s[row])))
        if starts_s is not None and math.isfinite(starts_s[row])
        else Duration(sec=-1),
    )


def model_info(metadata: CheckpointMetadata, rate_hz: float, stamp: Any) -> ModelInfo:
    """Who answers. stamp: a builtin_interfaces Time."""
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

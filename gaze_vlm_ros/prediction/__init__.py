"""From camera frames to published predictions: observations, answers, smoothing, checkpoints, scores. No torch here."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.prediction.calibration import calibration_error, reliability
    from gaze_vlm_ros.prediction.checkpoint import (
        METADATA_NAME,
        SCORE_KINDS,
        TASKS,
        CheckpointMetadata,
        NotACheckpoint,
        abstain_threshold,
        read_checkpoint_metadata,
        weights_revision,
        with_open_answers,
        write_checkpoint_metadata,
    )
    from gaze_vlm_ros.prediction.frame_buffer import FrameBuffer
    from gaze_vlm_ros.prediction.pacing import next_due
    from gaze_vlm_ros.prediction.published import Published, read_published
    from gaze_vlm_ros.prediction.score import (
        HORIZONS_S,
        ReceivedPrediction,
        StartedAction,
        next_texts,
        outcome_of,
        summarize,
    )
    from gaze_vlm_ros.prediction.smoothing import PredictionSmoother, Smoothed
    from gaze_vlm_ros.prediction.status import Limits, PredictorState, current_status
    from gaze_vlm_ros.prediction.types import (
        STATUS_NAMES,
        Answer,
        AnsweredObservation,
        Backend,
        FrameAttention,
        NoAnswer,
        Observation,
        Problem,
        Status,
    )
    from gaze_vlm_ros.prediction.worker import PredictionWorker
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.prediction.calibration": ["calibration_error", "reliability"],
            "gaze_vlm_ros.prediction.checkpoint": [
                "CheckpointMetadata",
                "METADATA_NAME",
                "NotACheckpoint",
                "SCORE_KINDS",
                "TASKS",
                "abstain_threshold",
                "read_checkpoint_metadata",
                "weights_revision",
                "with_open_answers",
                "write_checkpoint_metadata",
            ],
            "gaze_vlm_ros.prediction.frame_buffer": ["FrameBuffer"],
            "gaze_vlm_ros.prediction.pacing": ["next_due"],
            "gaze_vlm_ros.prediction.published": ["Published", "read_published"],
            "gaze_vlm_ros.prediction.score": [
                "HORIZONS_S",
                "ReceivedPrediction",
                "StartedAction",
                "next_texts",
                "outcome_of",
                "summarize",
            ],
            "gaze_vlm_ros.prediction.smoothing": ["PredictionSmoother", "Smoothed"],
            "gaze_vlm_ros.prediction.status": ["Limits", "PredictorState", "current_status"],
            "gaze_vlm_ros.prediction.types": [
                "Answer",
                "AnsweredObservation",
                "Backend",
                "FrameAttention",
                "NoAnswer",
                "Observation",
                "Problem",
                "STATUS_NAMES",
                "Status",
            ],
            "gaze_vlm_ros.prediction.worker": ["PredictionWorker"],
        },
    )

__all__ = [
    "HORIZONS_S",
    "METADATA_NAME",
    "SCORE_KINDS",
    "STATUS_NAMES",
    "TASKS",
    "Answer",
    "AnsweredObservation",
    "Backend",
    "CheckpointMetadata",
    "FrameAttention",
    "FrameBuffer",
    "Limits",
    "NoAnswer",
    "NotACheckpoint",
    "Observation",
    "PredictionSmoother",
    "PredictionWorker",
    "PredictorState",
    "Problem",
    "Published",
    "ReceivedPrediction",
    "Smoothed",
    "StartedAction",
    "Status",
    "abstain_threshold",
    "calibration_error",
    "current_status",
    "next_due",
    "next_texts",
    "outcome_of",
    "read_checkpoint_metadata",
    "read_published",
    "reliability",
    "summarize",
    "weights_revision",
    "with_open_answers",
    "write_checkpoint_metadata",
]

"""From camera frames to published predictions: observations, answers, smoothing, checkpoints, scores. No torch here."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.prediction.answers_over_time import AnswersOverTime, chosen_point
    from gaze_vlm_ros.prediction.belief import Belief, BeliefFilter, BeliefModel, filtered, fit_belief
    from gaze_vlm_ros.prediction.believed_stream import BelievedStream
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
    from gaze_vlm_ros.prediction.now_scores import NowStream, now_of_sessions, now_table, score_now
    from gaze_vlm_ros.prediction.operating_points import OperatingPoint, operating_point
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
    from gaze_vlm_ros.prediction.stream_metadata import NowMetadata, StreamMetadata
    from gaze_vlm_ros.prediction.stream_scores import (
        joint_losses,
        ranked_probability_scores,
        score_stream,
        stream_table,
    )
    from gaze_vlm_ros.prediction.two_thresholds import TwoThresholds
    from gaze_vlm_ros.prediction.types import (
        STATUS_NAMES,
        Answer,
        AnsweredObservation,
        Backend,
        FrameAttention,
        NoAnswer,
        NowAnswer,
        Observation,
        Problem,
        Status,
    )
    from gaze_vlm_ros.prediction.worker import PredictionWorker
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.prediction.two_thresholds": ["TwoThresholds"],
            "gaze_vlm_ros.prediction.stream_scores": [
                "joint_losses",
                "ranked_probability_scores",
                "score_stream",
                "stream_table",
            ],
            "gaze_vlm_ros.prediction.stream_metadata": ["NowMetadata", "StreamMetadata"],
            "gaze_vlm_ros.prediction.now_scores": ["NowStream", "now_of_sessions", "now_table", "score_now"],
            "gaze_vlm_ros.prediction.operating_points": ["OperatingPoint", "operating_point"],
            "gaze_vlm_ros.prediction.believed_stream": ["BelievedStream"],
            "gaze_vlm_ros.prediction.belief": ["Belief", "BeliefFilter", "BeliefModel", "filtered", "fit_belief"],
            "gaze_vlm_ros.prediction.answers_over_time": ["AnswersOverTime", "chosen_point"],
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
                "NowAnswer",
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
    "AnswersOverTime",
    "Backend",
    "Belief",
    "BeliefFilter",
    "BeliefModel",
    "BelievedStream",
    "CheckpointMetadata",
    "FrameAttention",
    "FrameBuffer",
    "Limits",
    "NoAnswer",
    "NotACheckpoint",
    "NowAnswer",
    "NowMetadata",
    "NowStream",
    "Observation",
    "OperatingPoint",
    "PredictionSmoother",
    "PredictionWorker",
    "PredictorState",
    "Problem",
    "Published",
    "ReceivedPrediction",
    "Smoothed",
    "StartedAction",
    "Status",
    "StreamMetadata",
    "TwoThresholds",
    "abstain_threshold",
    "calibration_error",
    "chosen_point",
    "current_status",
    "filtered",
    "fit_belief",
    "joint_losses",
    "next_due",
    "next_texts",
    "now_of_sessions",
    "now_table",
    "operating_point",
    "outcome_of",
    "ranked_probability_scores",
    "read_checkpoint_metadata",
    "read_published",
    "reliability",
    "score_now",
    "score_stream",
    "stream_table",
    "summarize",
    "weights_revision",
    "with_open_answers",
    "write_checkpoint_metadata",
]

"""Evaluation: query a model about windows, and measure its answers and its attention."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from training.evaluation.answers import Answers, answer_windows, generate_windows, rank_windows
    from training.evaluation.attention_metrics import (
        attention_auc,
        attention_scores,
        gaze_kl,
        normalized_scanpath_saliency,
        top_k_overlap,
    )
    from training.evaluation.checkpoint_evaluation import TrainedOn, evaluate_checkpoint
    from training.evaluation.choices import CannotAsk, Choice, answer_choices
    from training.evaluation.label_statistics import (
        Moments,
        mean_time_to_start,
        moments,
        other_share,
        time_to_start_error,
    )
    from training.evaluation.metrics import (
        bootstrap_interval,
        class_mean_recall,
        fit_temperature,
        negative_log_likelihood,
        probabilities,
        rouge_l,
        selective_threshold,
        semantic_scores,
        top_k_hits,
    )
    from training.evaluation.now_evaluation import calibrate_now, now_stream
    from training.evaluation.scores import score, table
    from training.evaluation.stream_calibration import calibrate_stream
    from training.evaluation.stream_evaluation import believed_stream, rank_stream
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "training.evaluation.now_evaluation": ["calibrate_now", "now_stream"],
            "training.evaluation.stream_calibration": ["calibrate_stream"],
            "training.evaluation.stream_evaluation": ["believed_stream", "rank_stream"],
            "training.evaluation.answers": ["Answers", "answer_windows", "generate_windows", "rank_windows"],
            "training.evaluation.attention_metrics": [
                "attention_auc",
                "attention_scores",
                "gaze_kl",
                "normalized_scanpath_saliency",
                "top_k_overlap",
            ],
            "training.evaluation.checkpoint_evaluation": ["TrainedOn", "evaluate_checkpoint"],
            "training.evaluation.choices": ["CannotAsk", "Choice", "answer_choices"],
            "training.evaluation.label_statistics": [
                "Moments",
                "mean_time_to_start",
                "moments",
                "other_share",
                "time_to_start_error",
            ],
            "training.evaluation.metrics": [
                "bootstrap_interval",
                "class_mean_recall",
                "fit_temperature",
                "negative_log_likelihood",
                "probabilities",
                "rouge_l",
                "selective_threshold",
                "semantic_scores",
                "top_k_hits",
            ],
            "training.evaluation.scores": ["score", "table"],
        },
    )

__all__ = [
    "Answers",
    "CannotAsk",
    "Choice",
    "Moments",
    "TrainedOn",
    "answer_choices",
    "answer_windows",
    "attention_auc",
    "attention_scores",
    "believed_stream",
    "bootstrap_interval",
    "calibrate_now",
    "calibrate_stream",
    "class_mean_recall",
    "evaluate_checkpoint",
    "fit_temperature",
    "gaze_kl",
    "generate_windows",
    "mean_time_to_start",
    "moments",
    "negative_log_likelihood",
    "normalized_scanpath_saliency",
    "now_stream",
    "other_share",
    "probabilities",
    "rank_stream",
    "rank_windows",
    "rouge_l",
    "score",
    "selective_threshold",
    "semantic_scores",
    "table",
    "time_to_start_error",
    "top_k_hits",
    "top_k_overlap",
]

"""Predictions as `vision_msgs/Classification` too, for programs that know that message and not ours.

It has neither status nor expiry: only answers that hold are mirrored, each once.
"""

from __future__ import annotations

from typing import Any

from gaze_vlm_ros.errors import GazeVlmError


class NoVisionMessages(GazeVlmError):
    """vision_msgs is not installed."""


def classification_type() -> Any:
    """The message class. Raises NoVisionMessages."""
    try:
        from vision_msgs.msg import Classification
    except ImportError as error:
        raise NoVisionMessages(
            f"parameter classification is true, and vision_msgs is not here ({error}); "
            "install ros-$ROS_DISTRO-vision-msgs, or set classification to false"
        ) from None
    return Classification


def classification_of(prediction: Any) -> Any:
    """The vision_msgs/Classification of an ActionPrediction: a hypothesis for each candidate, the best first."""
    from vision_msgs.msg import Classification, ObjectHypothesis

    hypotheses = [
        ObjectHypothesis(class_id=candidate.action_id, score=candidate.probability)
        for candidate in prediction.candidates
    ]
    return Classification(header=prediction.header, results=hypotheses)

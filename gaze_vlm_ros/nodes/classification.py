"""Convert predictions to `vision_msgs/Classification`, for programs that do not know gaze_vlm_msgs.

That message has neither status nor expiry, so only OK predictions are converted, each once.
"""

from __future__ import annotations

from typing import Any

from gaze_vlm_ros.errors import GazeVlmError


class NoVisionMessages(GazeVlmError):
    """vision_msgs is not installed."""


def classification_type() -> Any:
    """Import the message class. Raises NoVisionMessages."""
    try:
        from vision_msgs.msg import Classification
    except ImportError as error:
        raise NoVisionMessages(
            f"parameter classification is true, but vision_msgs is not installed ({error}); "
            "install ros-$ROS_DISTRO-vision-msgs, or set classification to false"
        ) from None
    return Classification


def classification_of(prediction: Any) -> Any:
    """Convert an ActionPrediction: one hypothesis per candidate, best first."""
    from vision_msgs.msg import Classification, ObjectHypothesis

    hypotheses = [
        ObjectHypothesis(class_id=candidate.action_id, score=candidate.probability)
        for candidate in prediction.candidates
    ]
    return Classification(header=prediction.header, results=hypotheses)

"""When a planner may act on a prediction, and when no longer: rules without ROS, the same for every planner."""

from gaze_vlm_ros.planning.follower import Following, PredictionFollower
from gaze_vlm_ros.planning.predicates import predicate_of
from gaze_vlm_ros.planning.rules import Identity, identity_of, patience_s, why_not

__all__ = [
    "Following",
    "Identity",
    "PredictionFollower",
    "identity_of",
    "patience_s",
    "predicate_of",
    "why_not",
]

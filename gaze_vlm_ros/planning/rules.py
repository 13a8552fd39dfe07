"""What a planner checks in a prediction before it acts, and what names the answer that it acts on.

Messages are gaze_vlm_msgs/ActionPrediction, of rclpy or as decoded without ROS.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gaze_vlm_ros.bags.stamps import nanoseconds
from gaze_vlm_ros.prediction.status import AHEAD_S
from gaze_vlm_ros.prediction.types import STATUS_NAMES, Status

RANK_ONLY = 2  # ActionPrediction.SCORE_RANK_ONLY
# The node repeats its last message 1.1 to 1.2 cycles after it, where there is no newer answer.
SILENT_CYCLES = 1.5
LEAST_PATIENCE_S = 0.1  # networks and schedulers hold a message up for tens of ms, however fast the predictor is
# Counts for a model without thresholds of its own; weigh the cost of a wrong move against that of a late one.
LEAST_PROBABILITY = 0.7


class Identity(NamedTuple):
    """What names an answer: one that differs in any of these is another answer, whatever else is the same."""

    model_id: str
    label_set_id: str
    revision: int
    action_id: str


def identity_of(prediction: Any) -> Identity:
    """Return what names the answer of a prediction; without candidates, action_id is empty."""
    action_id = prediction.candidates[0].action_id if prediction.candidates else ""
    return Identity(prediction.model_id, prediction.label_set_id, int(prediction.revision), action_id)


def why_not(prediction: Any, now_ns: int, least_probability: float = LEAST_PROBABILITY) -> str:
    """Return in words why a planner must not act on a prediction now; "" = it may.

    now_ns: ROS time. least_probability: of the best candidate, where the model has no thresholds of its own
    (nothing_probability above 0 says that it has).
    """
    if prediction.status != Status.OK or not prediction.candidates:
        known = prediction.status < len(STATUS_NAMES)
        name = STATUS_NAMES[prediction.status] if known else f"status {prediction.status}"
        return f"the predictor says: {prediction.status_text or name}"
    ahead_s = (nanoseconds(prediction.header.stamp) - now_ns) / 1e9
    if ahead_s > AHEAD_S:
        return f"it is stamped {ahead_s:.1f} s after now: the clocks of camera and planner differ"
    late_s = (now_ns - nanoseconds(prediction.valid_until)) / 1e9
    if late_s > 0:
        return f"it expired {late_s:.1f} s ago"
    if prediction.score_kind == RANK_ONLY:
        return "its scores are not probabilities"
    best = prediction.candidates[0]
    # Written so that NaN fails.
    if not best.probability >= least_probability and not prediction.nothing_probability > 0:
        return f"'{best.text}' has a probability of only {best.probability:.2f}"
    return ""


def patience_s(rate_hz: float) -> float:
    """Return after which silence, s, a predictor of this rate counts as dead."""
    return max(SILENT_CYCLES / rate_hz, LEAST_PATIENCE_S)

"""Subscriptions of a planner to the predictor."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from gaze_vlm_msgs.msg import ActionPrediction, ModelInfo
from gaze_vlm_ros.nodes.decoded_subscription import subscribe_decoded
from gaze_vlm_ros.planning import PredictionFollower


class PredictionInput:
    """Hands `next_action` and `model_info` to a follower."""

    def __init__(
        self, node: Node, follower: PredictionFollower, on_prediction: Callable[[], None] = lambda: None
    ) -> None:
        """on_prediction: called after each prediction."""
        self._node, self._follower, self._on_prediction = node, follower, on_prediction
        # Only the newest message: an older prediction is of no use.
        newest = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._subscriptions = (
            subscribe_decoded(node, ModelInfo, "model_info", follower.learn, latched),
            subscribe_decoded(node, ActionPrediction, "next_action", self._hear, newest),
        )

    def _hear(self, prediction: Any) -> None:
        self._follower.hear(prediction, time.monotonic())
        self._on_prediction()

    def destroy(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

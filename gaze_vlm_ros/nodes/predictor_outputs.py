"""Publishers of the predictor, from configure to cleanup."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from gaze_vlm_msgs.msg import ActionPrediction, ModelInfo
from gaze_vlm_ros.nodes.classification import classification_of
from gaze_vlm_ros.nodes.prediction_message import attention_image, model_info
from gaze_vlm_ros.prediction.checkpoint import CheckpointMetadata
from gaze_vlm_ros.prediction.types import FrameAttention


class PredictorOutputs:
    """Publishes `next_action`, `attention`, latched `model_info` and, where configured, the classification."""

    def __init__(self, node: Node, metadata: CheckpointMetadata, rate_hz: float, classification: Any) -> None:
        """Create the publishers and publish `model_info`.

        classification: the class vision_msgs.msg.Classification; None = do not publish it.
        """
        self._node, self._metadata = node, metadata
        reliable = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._predictions = node.create_publisher(ActionPrediction, "next_action", reliable)
        self._attention = node.create_publisher(Image, "attention", reliable)
        self._classification = None
        if classification is not None:
            self._classification = node.create_publisher(classification, "next_action/classification", 1)
        self._info = node.create_publisher(ModelInfo, "model_info", latched)
        self.publish_info(rate_hz)

    def publish_info(self, rate_hz: float) -> None:
        """Publish `model_info`; again where the rate changes, by which planners know how long silence is normal."""
        self._info.publish(model_info(self._metadata, rate_hz, self._node.get_clock().now().to_msg()))

    @property
    def attention_topic(self) -> str:
        """Resolved name of the attention topic."""
        return str(self._attention.topic_name)

    def publish_prediction(self, message: ActionPrediction) -> None:
        """Publish a prediction on `next_action`."""
        self._predictions.publish(message)

    def publish_classification(self, message: ActionPrediction) -> None:
        """Publish the candidates of an OK prediction as vision_msgs/Classification, where that is configured."""
        if self._classification is not None and message.status == message.STATUS_OK:
            self._classification.publish(classification_of(message))

    def publish_attention(
        self, attention: FrameAttention | None, frame_size: tuple[int, int], stamp_ns: int, frame_id: str
    ) -> None:
        """Publish where the model looked, if that is known and somebody subscribes. frame_size: (width, height) px."""
        if attention is not None and self._attention.get_subscription_count():
            self._attention.publish(attention_image(attention, frame_size, stamp_ns, frame_id))

    def destroy(self) -> None:
        """Destroy all publishers."""
        for publisher in (self._predictions, self._attention, self._classification, self._info):
            if publisher is not None:
                self._node.destroy_publisher(publisher)

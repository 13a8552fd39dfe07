"""Any camera: raw images or compressed ones, reliable or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from gaze_vlm_ros.errors import GazeVlmError

IMAGE_TYPES = {"sensor_msgs/msg/Image": Image, "sensor_msgs/msg/CompressedImage": CompressedImage}
IMAGE_DEPTH = 5  # frames that may wait while Python is busy; older ones are worth nothing


class NotACamera(GazeVlmError):
    """The camera topic carries something other than images."""


def subscribe_camera(node: Node, wanted: str, on_image: Callable[[Any], None]) -> Any:
    """Subscription of `wanted`, or where nobody publishes it of its /compressed; None while nobody publishes either.

    wanted: resolved name of the topic. Raises NotACamera.
    """
    for name in (wanted, f"{wanted}/compressed"):
        publishers = node.get_publishers_info_by_topic(name)
        types = sorted({info.topic_type for info in publishers})
        if not types:
            continue
        if len(types) > 1 or types[0] not in IMAGE_TYPES:
            raise NotACamera(
                f"topic {name} carries {' and '.join(types)}, expected {' or '.join(IMAGE_TYPES)}; "
                "set camera_topic to the camera's"
            )
        # A best-effort subscription takes any camera, and loses a third of its 900 KB frames (Fast DDS, one
        # machine, 10 Hz); a reliable one lost none, and takes reliable cameras alone.
        reliable = all(info.qos_profile.reliability == ReliabilityPolicy.RELIABLE for info in publishers)
        reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        qos = QoSProfile(depth=IMAGE_DEPTH, reliability=reliability)
        return node.create_subscription(IMAGE_TYPES[types[0]], name, on_image, qos)
    return None


class NoCamera(GazeVlmError):
    """No camera appeared in time."""

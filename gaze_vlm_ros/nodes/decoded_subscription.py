"""Subscribe to what peers publish, and decode it without the middleware.

rmw_fastrtps hands on some messages that it could not read to their end: a peer that sends the bytes 00 01 00 03 as an
Image ends any process that lets rclpy decode it, with a segmentation fault. Decoded here, bytes that are no message are
an exception in the subscription's callback, which `barrier.Barrier` counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from gaze_vlm_ros.bags.message_types import deserialize


def subscribe_decoded(
    node: Node, message_type: type, topic: str, on_message: Callable[[Any], object], qos: QoSProfile
) -> Subscription:
    """Subscribe `topic`; `on_message` gets messages with the fields of `message_type`.

    Sequences of numbers are arrays. Nested messages are no ROS messages: copy their fields into those to publish.
    """
    package = message_type.__module__.partition(".")[0]
    type_name = f"{package}/msg/{message_type.__name__}"

    def on_data(data: bytes) -> None:
        on_message(deserialize(data, type_name))

    return node.create_subscription(message_type, topic, on_data, qos, raw=True)

"""Subscribe any camera: raw or compressed images, reliable or best effort."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.nodes.decoded_subscription import subscribe_decoded

IMAGE_TYPES = {"sensor_msgs/msg/Image": Image, "sensor_msgs/msg/CompressedImage": CompressedImage}
IMAGE_DEPTH = 5  # frames that may wait while Python is busy; older ones are worth nothing
LOOK_PERIOD_S = 0.1  # a search costs little, and a robot should not wait for it


class NotACamera(GazeVlmError):
    """The camera topic carries something other than images."""


class NoCamera(GazeVlmError):
    """No camera appeared in time."""


def subscribe_camera(node: Node, topic: str, on_image: Callable[[Any], None]) -> Any:
    """Subscribe `topic`, or where nobody publishes it its /compressed; None while nobody publishes either.

    topic: resolved name. Raises NotACamera.
    """
    for name in (topic, f"{topic}/compressed"):
        publishers = node.get_publishers_info_by_topic(name)
        types = sorted({info.topic_type for info in publishers})
        if not types:
            continue
        if len(types) > 1 or types[0] not in IMAGE_TYPES:
            raise NotACamera(
                f"topic {name} carries {' and '.join(types)}, expected {' or '.join(IMAGE_TYPES)}; "
                "set camera_topic to the camera's"
            )
        # A best-effort subscription accepts any camera but loses a third of its 900 KB frames (Fast DDS, one machine,
        # 10 Hz). A reliable one lost none, but accepts only reliable cameras.
        reliable = all(info.qos_profile.reliability == ReliabilityPolicy.RELIABLE for info in publishers)
        reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        qos = QoSProfile(depth=IMAGE_DEPTH, reliability=reliability)
        return subscribe_decoded(node, IMAGE_TYPES[types[0]], name, on_image, qos)
    return None


class CameraSearch:
    """Looks for a camera until somebody publishes its topic, then subscribes it.

    Runs in a timer of the node; errors that end the node are raised there.
    """

    def __init__(
        self,
        node: Node,
        clock: Clock,
        topic: str,
        on_image: Callable[[Any], None],
        on_found: Callable[[Any], None],
        on_wrong_type: Callable[[NotACamera], None],
        wait_s: float,
        own_topics: tuple[str, ...] = (),
    ) -> None:
        """on_found: called once with the subscription. on_wrong_type: called once where the topic carries no images.

        wait_s: raise NoCamera after this time; 0 = look forever. own_topics: pictures of our own nodes, which the error
        does not list.
        """
        self._node, self._topic, self._wait_s, self._own_topics = node, topic, wait_s, own_topics
        self._on_image, self._on_found, self._on_wrong_type = on_image, on_found, on_wrong_type
        self._started_s = time.monotonic()
        self._subscription: Any = None
        self._timer = node.create_timer(LOOK_PERIOD_S, self._look, clock=clock)

    def _look(self) -> None:
        try:
            self._subscription = subscribe_camera(self._node, self._topic, self._on_image)
        except NotACamera as error:
            self._timer.cancel()
            self._on_wrong_type(error)
            return
        if self._subscription is not None:
            self._timer.cancel()
            self._on_found(self._subscription)
        elif self._wait_s and time.monotonic() - self._started_s > self._wait_s:
            topics = dict(self._node.get_topic_names_and_types())
            images = sorted(
                name for name, types in topics.items() if set(types) & set(IMAGE_TYPES) and name not in self._own_topics
            )
            raise NoCamera(
                f"nobody published {self._topic} or {self._topic}/compressed within {self._wait_s:g} s; image topics "
                f"here are {', '.join(images) or 'none'}; start the camera, or set camera_topic"
            )

    def destroy(self) -> None:
        """Stop looking, and unsubscribe."""
        self._node.destroy_timer(self._timer)
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

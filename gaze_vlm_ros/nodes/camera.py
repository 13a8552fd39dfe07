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
from gaze_vlm_ros.nodes.camera_choice import CameraChoice, NotACamera, Offer, camera_names, choose_camera
from gaze_vlm_ros.nodes.decoded_subscription import subscribe_decoded
from gaze_vlm_ros.nodes.graph_view import Feelers, blindness_text

IMAGE_TYPES = {"sensor_msgs/msg/Image": Image, "sensor_msgs/msg/CompressedImage": CompressedImage}
IMAGE_DEPTH = 5  # frames that may wait while Python is busy; older ones are worth nothing
LOOK_PERIOD_S = 0.1  # a search costs little, and a robot should not wait for it


class NoCamera(GazeVlmError):
    """No camera appeared in time."""


class Camera:
    """The subscription of a camera: raw or compressed, reliable or best effort, and another one when it has changed.

    A camera that was restarted may offer what the subscription does not match. So where it is silent, it is looked for
    again.
    """

    def __init__(self, node: Node, topic: str, on_image: Callable[[Any], None]) -> None:
        """topic: resolved name; where nobody publishes it, its /compressed is subscribed."""
        self._node, self._topic, self._on_image = node, topic, on_image
        self._choice: CameraChoice | None = None  # what is subscribed
        self.subscription: Any = None
        self._was_found = False
        self._heard_s = 0.0
        self._feelers = self._feel()

    def look(self, stale_after_s: float) -> bool:
        """Subscribe the camera where it is there, and again where it is silent and has changed. Call it in a timer.

        Return whether there is a new subscription. Raises NotACamera, if there was no camera before.
        """
        if self.subscription is not None and time.monotonic() - self._heard_s <= stale_after_s:
            return False
        try:
            choice = choose_camera(self._topic, {name: self._offers(name) for name in camera_names(self._topic)})
        except NotACamera:
            if self._was_found:  # of a camera that was killed, the graph shows for 20 s what it offered
                return False
            raise
        if choice is None or choice == self._choice:
            return False
        if not self._let_go():
            return False
        qos = QoSProfile(
            depth=IMAGE_DEPTH,
            reliability=ReliabilityPolicy.RELIABLE if choice.reliable else ReliabilityPolicy.BEST_EFFORT,
        )
        self.subscription = subscribe_decoded(self._node, IMAGE_TYPES[choice.type_name], choice.topic, self._take, qos)
        self._choice, self._was_found, self._heard_s = choice, True, time.monotonic()
        self._feelers = self._feel()
        return True

    def destroy(self) -> None:
        """Unsubscribe."""
        self._let_go()

    def _take(self, image: Any) -> None:
        self._heard_s = time.monotonic()
        self._on_image(image)

    def _offers(self, name: str) -> list[Offer]:
        return [
            Offer(info.topic_type, info.qos_profile.reliability == ReliabilityPolicy.RELIABLE)
            for info in self._node.get_publishers_info_by_topic(name)
        ]

    def _feel(self) -> Feelers:
        kinds = zip(camera_names(self._topic), IMAGE_TYPES, strict=True)
        return Feelers(
            self._node, {name: kind for name, kind in kinds if not self._choice or name != self._choice.topic}
        )

    def _let_go(self) -> bool:
        """Whether nothing is subscribed any more: the next subscription of a topic may be of another type."""
        gone = self._feelers.let_go() and self.subscription is None
        if self.subscription is not None:
            self._node.destroy_subscription(self.subscription)
            self.subscription = self._choice = None
        return gone


class CameraSearch:
    """Looks for a camera in a timer of the node; errors that end the node are raised there."""

    def __init__(
        self,
        node: Node,
        clock: Clock,
        topic: str,
        on_image: Callable[[Any], None],
        on_found: Callable[[Any], None],
        on_wrong_type: Callable[[NotACamera], None],
        stale_after_s: Callable[[], float],
        wait_s: float,
        own_topics: tuple[str, ...] = (),
    ) -> None:
        """on_found: called with each new subscription. on_wrong_type: called once where the topic carries no images.

        stale_after_s: silence after which the camera is looked for again. wait_s: raise NoCamera where there was none
        in this time; 0 = look forever. own_topics: pictures of our own nodes, which the error does not list.
        """
        self._node, self._topic, self._wait_s, self._own_topics = node, topic, wait_s, own_topics
        self._on_found, self._on_wrong_type, self._stale_after_s = on_found, on_wrong_type, stale_after_s
        self._started_s = time.monotonic()
        self._was_found = False
        self._camera = Camera(node, topic, on_image)
        self._timer = node.create_timer(LOOK_PERIOD_S, self._look, clock=clock)

    def _look(self) -> None:
        try:
            is_new = self._camera.look(self._stale_after_s())
        except NotACamera as error:
            self._timer.cancel()
            self._on_wrong_type(error)
            return
        if is_new:
            self._was_found = True
            self._on_found(self._camera.subscription)
        elif not self._was_found and self._wait_s and time.monotonic() - self._started_s > self._wait_s:
            topics = dict(self._node.get_topic_names_and_types())
            images = sorted(
                name for name, types in topics.items() if set(types) & set(IMAGE_TYPES) and name not in self._own_topics
            )
            raise NoCamera(
                f"nobody published {self._topic} or {self._topic}/compressed within {self._wait_s:g} s; image topics "
                f"here are {', '.join(images) or 'none'}; start the camera, or set camera_topic{blindness_text()}"
            )

    def destroy(self) -> None:
        """Stop looking, and unsubscribe."""
        self._node.destroy_timer(self._timer)
        self._camera.destroy()

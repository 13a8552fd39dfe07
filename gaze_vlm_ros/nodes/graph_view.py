"""What a node can see of the ROS graph: a client of a discovery server knows only the topics that it takes part in."""

from __future__ import annotations

import os
from collections.abc import Mapping

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from gaze_vlm_ros.nodes.message_classes import message_class_of


def sees_all_topics(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the graph is whole: without a discovery server, or as its super client."""
    server = environment.get("ROS_DISCOVERY_SERVER", "")
    return not server or environment.get("ROS_SUPER_CLIENT", "").upper() in ("TRUE", "1")


def blindness_text(environment: Mapping[str, str] = os.environ) -> str:
    """Return the end of an error about a missing topic: "" where the graph is whole."""
    if sees_all_topics(environment):
        return ""
    server = environment["ROS_DISCOVERY_SERVER"]
    return (
        f"; ROS_DISCOVERY_SERVER is {server}, and its clients see only what they subscribe to: check that a server "
        "runs there, or make this a super client (ROS_SUPER_CLIENT=TRUE) to see all topics"
    )


class Feelers:
    """Subscriptions that make a discovery server tell who publishes their topics; there are none where all is seen."""

    def __init__(self, node: Node, types: Mapping[str, str]) -> None:
        """types: a message type for each resolved topic name. The server looks at the name alone."""
        self._node = node
        # One of best effort matches any publisher; what it hears is not used.
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        wanted = {} if sees_all_topics() else types
        self._subscriptions = [
            node.create_subscription(message_class_of(kind), name, _drop, qos, raw=True)
            for name, kind in wanted.items()
        ]

    def let_go(self) -> bool:
        """Unsubscribe; return whether all are gone, so that the topics can be subscribed with another type.

        They go once the executor no longer waits for them: ask again in the timer's next call.
        """
        gone = not self._subscriptions
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []
        return gone


def _drop(message: bytes) -> None:
    pass

"""Publish labels at fixed times of a video that has none. They mean nothing about its content.

`python -m gaze_vlm_ros.nodes.scripted_labels SECONDS TEXT...` publishes the texts in turn on `label`: one at the first
frame, then one after every SECONDS of video, with the stamp of the frame. Frame times are read from
`camera/camera_info`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo

from gaze_vlm_msgs.msg import ActionLabel
from gaze_vlm_ros.bags.stamps import nanoseconds
from gaze_vlm_ros.nodes.running import run_node


class ScriptedLabels(Node):
    """Publishes labels while frames arrive; it waits while nobody subscribes."""

    def __init__(self, every_s: float, texts: Sequence[str]) -> None:
        super().__init__("scripted_labels")
        self._every_ns, self._texts = round(every_s * 1e9), texts
        self._next_ns = 0  # at the first frame
        self._published = 0
        self._labels = self.create_publisher(
            ActionLabel, "label", QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
        )
        self.create_subscription(CameraInfo, "camera/camera_info", self._on_frame, QoSProfile(depth=100))
        print("scripted_labels is ready", flush=True)

    def _on_frame(self, message: CameraInfo) -> None:
        stamp_ns = nanoseconds(message.header.stamp)
        if stamp_ns < self._next_ns or not self._labels.get_subscription_count():
            return
        label = ActionLabel(text=self._texts[self._published % len(self._texts)])
        label.header.stamp = message.header.stamp
        self._labels.publish(label)
        self._published += 1
        self._next_ns = (self._next_ns or stamp_ns) + self._every_ns

    def close(self) -> int:
        """Print the number of labels. Return the exit code."""
        print(f"published {self._published} scripted labels", flush=True)
        return 0


def main() -> int:
    """Run the node with the arguments of the command line."""
    every_s, texts = float(sys.argv[1]), sys.argv[2:]
    return run_node("scripted_labels", lambda: ScriptedLabels(every_s, texts))


if __name__ == "__main__":
    raise SystemExit(main())

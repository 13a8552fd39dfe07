"""Publish one video of the glasses, encoded in a thread of its own so that reception never waits for it."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from gaze_vlm_ros.nodes.barrier import Barrier
from gaze_vlm_ros.nodes.neon_messages import PictureKind, image_message, jpeg_message

CLOSE_S = 2.0  # for what waits: launch kills a node 5 s after it asked it to end


class VideoPublisher:
    """Topics `topic` and `topic`/compressed of one video; each is converted only while it has a subscriber."""

    def __init__(
        self,
        node: Node,
        topic: str,
        kind: PictureKind,
        qos: QoSProfile,
        frames_waiting: int,
        jpeg_quality: int,
        make_header: Callable[[Any, int], Header],
        barrier: Barrier,
    ) -> None:
        """`make_header(frame, stamp_ns)` is called in this publisher's thread for each frame, read or not.

        frames_waiting: decoded frames that may wait for publication; further ones are dropped and counted.
        barrier: refuses frames that cannot be published.
        """
        self.dropped = 0
        self._node, self._topic, self._barrier = node, topic, barrier
        self._kind, self._jpeg_quality, self._make_header = kind, jpeg_quality, make_header
        self._raw = node.create_publisher(Image, topic, qos)
        self._compressed = node.create_publisher(CompressedImage, f"{topic}/compressed", qos)
        self._frames: queue.Queue[tuple[Any, int] | None] = queue.Queue(frames_waiting)
        # A daemon: a publisher that waits for its peers must not keep the process.
        self._thread = threading.Thread(target=self._run, name=topic, daemon=True)
        self._thread.start()

    def put(self, frame: Any, stamp_ns: int) -> None:
        """Hand over an av.VideoFrame acquired at `stamp_ns`, Unix ns. Never blocks."""
        try:
            self._frames.put_nowait((frame, stamp_ns))
        except queue.Full:
            self.dropped += 1
            self._node.get_logger().warning(
                f"{self._topic}: frames come faster than they are published; {self.dropped} dropped so far",
                throttle_duration_sec=5.0,
            )

    def close(self) -> None:
        """Publish what waits, and end the thread; what is not published within CLOSE_S is left."""
        with contextlib.suppress(queue.Full):
            self._frames.put(None, timeout=CLOSE_S)
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while (item := self._frames.get()) is not None:
            try:
                self._publish(*item)
            except Exception as error:
                self.dropped += 1
                if self._node.context.ok():  # otherwise it came after the request to stop
                    self._barrier.refuse(self._topic, error)

    def _publish(self, frame: Any, stamp_ns: int) -> None:
        header = self._make_header(frame, stamp_ns)
        wants_raw, wants_jpeg = (topic.get_subscription_count() > 0 for topic in (self._raw, self._compressed))
        if not wants_raw and not wants_jpeg:
            return
        # One thread: starting several for each frame costs more than they save.
        pixels = frame.reformat(format=self._kind.av_format, threads=1).to_ndarray()
        if wants_jpeg:
            self._compressed.publish(jpeg_message(pixels, header, self._kind, self._jpeg_quality))
        if wants_raw:
            self._raw.publish(image_message(pixels, header, self._kind))

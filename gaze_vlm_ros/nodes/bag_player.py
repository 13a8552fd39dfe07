"""Play a bag's camera to the predictor: `python -m gaze_vlm_ros.nodes.bag_player BAG CAMERA_TOPIC OUT RATE_HZ`.

The player runs in lock-step with the predictor: after a frame that is due for a query it waits for the prediction
before it shows the next frame. So no result depends on the computer's speed, and simulated time runs as fast as the
model. OUT becomes a bag with one prediction per query, at the time that it would have arrived live.
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Any

from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image

from gaze_vlm_msgs.msg import ActionPrediction, ModelInfo
from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.bags.stamps import header_stamp_ns, nanoseconds
from gaze_vlm_ros.bags.writer import BagWriter
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.nodes.running import NodeFinished, run_node
from gaze_vlm_ros.nodes.stamps import time_of
from gaze_vlm_ros.prediction.pacing import next_due
from gaze_vlm_ros.prediction.published import MODEL, PREDICTIONS
from gaze_vlm_ros.prediction.types import WITH_CANDIDATES, Status
from gaze_vlm_ros.video.frame_stream import FrameStream
from gaze_vlm_ros.video.images import DamagedImage
from gaze_vlm_ros.video.video_stream import is_video

CAMERA = "camera/image_raw"  # the predictor's default
# A message about a frame with one of these statuses is final.
FINAL = (*WITH_CANDIDATES, Status.NO_INPUT, Status.ERROR)
REPEAT_S = 2.0  # show a frame again that the predictor may have missed; it ignores frames that it has
SILENT_S = 120.0  # longer than the inference of any model that could serve a robot


class PredictorSilent(GazeVlmError):
    """The predictor does not subscribe to the camera, or publishes nothing for a frame."""


class BagPlayer(Node):
    """Shows frames up to the next one that is due for a query, and goes on when its prediction arrives."""

    def __init__(self, bag_path: Path, camera_topic: str, out: Path, rate_hz: float) -> None:
        super().__init__("replay")
        camera = open_bag(bag_path).read(camera_topic)
        self._frames = FrameStream(camera)
        self._decodes = is_video(camera)  # the predictor only takes pictures
        is_compressed = not self._decodes and camera.type_name == "sensor_msgs/msg/CompressedImage"
        self._period_s, self._due = 1.0 / rate_hz, -math.inf
        self._knows_model = False
        self._next = 0  # index of the next frame
        self._queried: int | None = None  # index of the frame whose prediction is awaited
        self._queries = self._damaged = 0
        self._shown = self._moved = time.monotonic()
        self._writer = BagWriter(out, {"replayed": str(bag_path)})
        for name, kind in ((PREDICTIONS, "ActionPrediction"), (MODEL, "ModelInfo")):
            self._writer.add_topic(name, f"gaze_vlm_msgs/msg/{kind}")
        reliable = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
        self._clock_topic = self.create_publisher(Clock, "/clock", reliable)
        self._camera = (
            self.create_publisher(CompressedImage, f"{CAMERA}/compressed", reliable)
            if is_compressed
            else self.create_publisher(Image, CAMERA, reliable)
        )
        self.create_subscription(ActionPrediction, "next_action", self._on_prediction, reliable, raw=True)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.create_subscription(ModelInfo, "model_info", self._on_model, latched, raw=True)
        self._service: Any = self.create_client(GetParameters, "predictor/get_parameters")
        self.create_timer(0.1, self._watch)

    def _watch(self) -> None:
        """Start when the predictor subscribes; end when it has been silent for too long."""
        now = time.monotonic()
        if now - self._moved > SILENT_S:
            raise PredictorSilent(
                f"the predictor has published nothing for {SILENT_S:g} s, at frame {self._next}; see its log"
            )
        if not self._next:
            if self._knows_model and self._camera.get_subscription_count() and self._service.service_is_ready():
                self._go_on()
        elif self._queried is not None and now - self._shown > REPEAT_S:
            self._show(self._queried)

    def _go_on(self) -> None:
        """Show frames up to the next one that is due for a query."""
        while self._next < len(self._frames):
            index, self._next = self._next, self._next + 1
            if not self._show(index):
                continue
            due = next_due(int(self._frames.stamps_ns[index]) / 1e9, self._due, self._period_s)
            if due is not None:
                self._due, self._queried = due, index
            else:
                # The predictor's queue is short, so wait until it has taken the image: it takes images before it
                # answers a service. wait_for_all_acked would wait for the next heartbeat of DDS, 2 s.
                self._service.call_async(GetParameters.Request()).add_done_callback(self._on_seen)
            return
        raise NodeFinished()

    def _on_seen(self, _: Any) -> None:
        self._moved = time.monotonic()
        self._go_on()

    def _show(self, index: int) -> bool:
        """Publish a frame and its time on /clock. Return False where the frame does not decode."""
        try:
            message = self._picture(index) if self._decodes else self._frames.serialized(index)
        except DamagedImage:
            self._damaged += 1
            return False
        self._clock_topic.publish(Clock(clock=time_of(int(self._frames.stamps_ns[index]))))
        self._camera.publish(message)
        self._shown = time.monotonic()
        return True

    def _picture(self, index: int) -> Image:
        rgb = self._frames.rgb(index)
        height, width, _ = rgb.shape
        image = Image(height=height, width=width, encoding="rgb8", step=3 * width)
        image.header.stamp = time_of(int(self._frames.stamps_ns[index]))
        image.data.frombytes(rgb.tobytes())
        return image

    def _on_model(self, serialized: bytes) -> None:
        if not self._knows_model:
            self._writer.write(MODEL, serialized, int(self._frames.stamps_ns[0]))
        self._knows_model = True

    def _on_prediction(self, serialized: bytes) -> None:
        message = deserialize_message(serialized, ActionPrediction)
        queried, stamp_ns = self._queried, header_stamp_ns(message)
        if queried is None or message.status not in FINAL or stamp_ns != self._frames.stamps_ns[queried]:
            return  # a repeated answer, or none yet
        inference_ns = nanoseconds(message.inference_time)
        self._writer.write(PREDICTIONS, serialized, int(self._frames.arrivals_ns[queried]) + inference_ns)
        self._queried, self._queries, self._moved = None, self._queries + 1, time.monotonic()
        print(f"frame {queried + 1} of {len(self._frames)}: {self._queries} queries", flush=True)
        self._go_on()

    def close(self) -> int:
        """Close the bag and report damaged frames. Return the exit code."""
        self._writer.close()
        if self._damaged:
            print(f"{self._queries} queries; {self._damaged} frames do not decode and were not shown", flush=True)
        return 0


def main() -> int:
    """Run the player with the arguments of the command line."""
    bag, camera_topic, out, rate_hz = sys.argv[1:]
    return run_node("replay", lambda: BagPlayer(Path(bag), camera_topic, Path(out), float(rate_hz)), args=[])


if __name__ == "__main__":
    raise SystemExit(main())

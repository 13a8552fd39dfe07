"""Shows a bag's camera to the predictor: `python -m gaze_vlm_ros.nodes.bag_player BAG OUT RATE_HZ`.

In lock-step: a frame is shown, and where the predictor is to be asked about it, the next one waits for what it says. So
nothing depends on the computer's speed, and simulated time runs as fast as the model. OUT becomes a bag of what the
predictor said: one message for each question, at the time that its answer would have come live.
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
from gaze_vlm_ros.bags.roles import camera_stream
from gaze_vlm_ros.bags.stamps import header_stamp_ns, nanoseconds
from gaze_vlm_ros.bags.writer import BagWriter
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.nodes.running import NodeFinished, run_node
from gaze_vlm_ros.nodes.stamps import time_of
from gaze_vlm_ros.prediction.pacing import next_due
from gaze_vlm_ros.prediction.published import MODEL, PREDICTIONS
from gaze_vlm_ros.video.frame_stream import FrameStream
from gaze_vlm_ros.video.images import DamagedImage
from gaze_vlm_ros.video.video_stream import is_video

CAMERA = "camera/image_raw"  # the predictor's default
# A message about a frame by these statuses is the predictor's last word about it.
FINAL = (
    ActionPrediction.STATUS_OK, ActionPrediction.STATUS_ABSTAIN,
    ActionPrediction.STATUS_NO_INPUT, ActionPrediction.STATUS_ERROR,
)  # fmt: skip
AGAIN_S = 2.0  # a frame that was shown before the predictor could see it is shown again; one that it has it ignores
SILENT_S = 120.0  # longer than any model thinks that could serve a robot


class NoWord(GazeVlmError):
    """The predictor looks at no frame, or says nothing about one."""


class Player(Node):
    """Shows frames until one is to be asked about, and goes on when the predictor has spoken of it."""

    def __init__(self, bag_path: Path, out: Path, rate_hz: float) -> None:
        super().__init__("replay")
        bag = open_bag(bag_path)
        camera = camera_stream(bag)
        assert camera is not None  # as the one who starts this has seen
        self._frames = FrameStream(camera)
        self._decodes = is_video(camera)  # the predictor takes pictures alone
        is_compressed = not self._decodes and camera.type_name == "sensor_msgs/msg/CompressedImage"
        self._period_s, self._due = 1.0 / rate_hz, -math.inf
        self._knows_model = False
        self._next = 0  # frame
        self._asked: int | None = None  # frame that the predictor is thinking about
        self._questions = self._damaged = 0
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
        """Begin when the predictor looks; end where it does no more."""
        now = time.monotonic()
        if now - self._moved > SILENT_S:
            raise NoWord(f"the predictor has said nothing for {SILENT_S:g} s, at frame {self._next}; see its log")
        if not self._next:
            if self._knows_model and self._camera.get_subscription_count() and self._service.service_is_ready():
                self._go_on()
        elif self._asked is not None and now - self._shown > AGAIN_S:
            self._show(self._asked)

    def _go_on(self) -> None:
        """Show frames up to the next one that the predictor is to be asked about."""
        while self._next < len(self._frames):
            index, self._next = self._next, self._next + 1
            if not self._show(index):
                continue
            due = next_due(int(self._frames.stamps_ns[index]) / 1e9, self._due, self._period_s)
            if due is not None:
                self._due, self._asked = due, index
            else:
                # The predictor's queue is short. Of what waits there, it takes an image before it answers a service.
                # (wait_for_all_acked would wait for DDS's next heartbeat, 2 s.)
                self._service.call_async(GetParameters.Request()).add_done_callback(self._on_seen)
            return
        raise NodeFinished()

    def _on_seen(self, _: Any) -> None:
        self._moved = time.monotonic()
        self._go_on()

    def _show(self, index: int) -> bool:
        """Publish the frame, and that it is its time; False where it does not decode."""
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
        asked, stamp_ns = self._asked, header_stamp_ns(message)
        if asked is None or message.status not in FINAL or stamp_ns != self._frames.stamps_ns[asked]:
            return  # the last answer again, or that there is none yet
        inference_ns = nanoseconds(message.inference_time)
        self._writer.write(PREDICTIONS, serialized, int(self._frames.arrivals_ns[asked]) + inference_ns)
        self._asked, self._questions, self._moved = None, self._questions + 1, time.monotonic()
        print(f"frame {asked + 1} of {len(self._frames)}: {self._questions} questions", flush=True)
        self._go_on()

    def close(self) -> int:
        self._writer.close()
        if self._damaged:
            print(f"{self._questions} questions; {self._damaged} frames do not decode and were not shown", flush=True)
        return 0


def main() -> int:
    bag, out, rate_hz = sys.argv[1:]
    return run_node("replay", lambda: Player(Path(bag), Path(out), float(rate_hz)), args=[])


if __name__ == "__main__":
    raise SystemExit(main())

"""ROS 2 node: the camera's picture with attention, the top answers and gaze drawn on it, for RViz and Foxglove.

Publishes `overlay/compressed` (JPEG). While nobody subscribes to it, it subscribes to nothing; else to the camera,
`next_action`, `attention` and `gaze`. See config/overlay.yaml and docs/overlay.md.
"""

from __future__ import annotations

import math
import time
from array import array
from collections import deque
from typing import Any

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from gaze_vlm_msgs.msg import ActionPrediction, GazeStamped
from gaze_vlm_ros.bags.stamps import nanoseconds
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.nodes.camera import NotACamera, subscribe_camera
from gaze_vlm_ros.nodes.parameters import Declarations
from gaze_vlm_ros.nodes.running import run_node
from gaze_vlm_ros.nodes.screen import Screen
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.video.images import encode_jpeg, to_rgb
from gaze_vlm_ros.view.overlay import NOTHING_SIZE, Marks, Standing, draw, drawn_size, standing
from gaze_vlm_ros.view.scene import TRAIL_S, GazeOnPicture, gaze_on_picture

LOOKS_EVERY_S = 0.25  # for somebody who looks, and for the camera
GAZE_KEPT = 2000  # samples: those of the frames that are kept, at 200 Hz and more
FRAMES_KEPT_BYTES = 200_000_000  # 34 raw frames of 1600x1200, or seconds of JPEG
GRACE_S = 2.0  # discovery takes so long; after it what is missing is drawn as such


class OverlayNode(Node):
    """Draws the frame that the newest prediction is about; where it is not current, the newest frame, in grey."""

    def __init__(self) -> None:
        super().__init__("overlay")
        self._declare_parameters()
        self._screen = Screen()
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still
        self._subscriptions_open: list[Any] = []
        self._camera: Any = None
        self._pictures = 0
        self._reset()
        self._output = self.create_publisher(
            CompressedImage, "overlay/compressed", QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        )
        self.create_timer(LOOKS_EVERY_S, self._look, clock=self._steady)
        self._drawing = self.create_timer(1.0 / self._number("max_rate_hz"), self._draw_if_changed, clock=self._steady)
        self._drawing.cancel()
        self._screen.show(f"overlay is ready: it draws when somebody subscribes to {self._output.topic_name}")

    def _declare_parameters(self) -> None:
        declare = Declarations(self, fixed=True)
        declare.text("camera_topic", "camera/image_raw", "as of the predictor: Image or CompressedImage")
        declare.text("gaze_topic", "gaze", "gaze_vlm_msgs/GazeStamped on that camera's images; empty = none is drawn")
        declare.count("answers", 3, 1, 10, "of the best answers, each a bar; a planner rarely looks at more")
        declare.number("max_rate_hz", 10.0, 0.5, 60.0, "pictures per second at the most; the predictor answers at 5 Hz")
        declare.count(
            "max_width", 1280, 480, 8192, "px; wider frames are drawn smaller: enough for a panel on a screen"
        )
        declare.count("jpeg_quality", 80, 1, 100, "text is still sharp, at half the bytes of 90")
        declare.number(
            "buffer_s", 2.0, 0.1, 60.0, "s for which frames wait for their prediction; longer than an inference"
        )

    def _number(self, name: str) -> float:
        return float(self.get_parameter(name).value)

    # Somebody looks, or nobody does.

    def _look(self) -> None:
        viewers = self._output.get_subscription_count()
        if viewers and not self._subscriptions_open:
            self._open()
        elif not viewers and self._subscriptions_open:
            self._close()
        if viewers and self._camera is None:
            self._look_for_camera()

    def _open(self) -> None:
        self._reset()
        self._since = time.monotonic()
        reliable = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
        self._subscriptions_open = [
            self.create_subscription(ActionPrediction, "next_action", self._on_prediction, reliable),
            self.create_subscription(Image, "attention", self._on_attention, reliable),
        ]
        if topic := str(self.get_parameter("gaze_topic").value):
            # Any publisher's; a lost sample of 200 Hz is not seen.
            lossy = QoSProfile(depth=GAZE_KEPT, reliability=ReliabilityPolicy.BEST_EFFORT)
            self._subscriptions_open.append(self.create_subscription(GazeStamped, topic, self._on_gaze, lossy))
        self._drawing.reset()
        self._screen.show("somebody looks: drawing")

    def _close(self) -> None:
        self._drawing.cancel()
        for subscription in [*self._subscriptions_open, self._camera]:
            if subscription is not None:
                self.destroy_subscription(subscription)
        self._subscriptions_open, self._camera = [], None
        self._reset()
        self._screen.show("nobody looks any more")

    def _reset(self) -> None:
        self._frames: deque[tuple[int, Any]] = deque()  # (acquisition stamp, message), ascending
        self._frames_bytes = 0
        self._gaze: deque[GazeStamped] = deque(maxlen=GAZE_KEPT)
        self._prediction: ActionPrediction | None = None
        self._received = -math.inf  # time.monotonic() of the prediction
        self._attention: Image | None = None
        self._no_camera = ""
        self._drawn: tuple[Any, ...] = ()  # what the last picture showed

    # What comes in.

    def _camera_topic(self) -> str:
        return self.resolve_topic_name(str(self.get_parameter("camera_topic").value))

    def _look_for_camera(self) -> None:
        topic = self._camera_topic()
        self._no_camera = f"nobody publishes {topic} or {topic}/compressed; start the camera, or set camera_topic"
        try:
            self._camera = subscribe_camera(self, topic, self._on_image)
        except NotACamera as error:
            self._no_camera = str(error)
        if self._camera is not None:
            self._no_camera = f"no frame on {self._camera.topic_name} yet"

    def _on_image(self, message: Any) -> None:
        stamp_ns = nanoseconds(message.header.stamp)
        buffer_ns = round(1e9 * self._number("buffer_s"))
        if self._frames and stamp_ns <= (newest_ns := self._frames[-1][0]):
            if stamp_ns > newest_ns - buffer_ns:
                return
            self._frames.clear()  # a clock was set back, or a bag began again
            self._frames_bytes = 0
        self._frames.append((stamp_ns, message))
        self._frames_bytes += len(message.data)
        oldest_ns = stamp_ns - buffer_ns
        while self._frames[0][0] < oldest_ns or (len(self._frames) > 1 and self._frames_bytes > FRAMES_KEPT_BYTES):
            _, oldest = self._frames.popleft()
            self._frames_bytes -= len(oldest.data)

    def _on_prediction(self, message: ActionPrediction) -> None:
        self._prediction, self._received = message, time.monotonic()

    def _on_attention(self, message: Image) -> None:
        self._attention = message

    def _on_gaze(self, message: GazeStamped) -> None:
        self._gaze.append(message)

    # What goes out.

    def _draw_if_changed(self) -> None:
        prediction = self._prediction
        state = standing(prediction, self.get_clock().now().nanoseconds, time.monotonic() - self._received)
        stamp_ns, frame = self._frames[-1] if self._frames else (0, None)
        if (frame is None or prediction is None) and time.monotonic() - self._since < GRACE_S:
            return
        if frame is None:
            state = Standing("NO CAMERA", self._no_camera, False)
        asked_ns = -1
        if state.current and prediction is not None:
            asked_ns = nanoseconds(prediction.header.stamp)
            stamp_ns, frame = next((kept for kept in self._frames if kept[0] == asked_ns), (stamp_ns, frame))
        attention = None
        if self._attention is not None and nanoseconds(self._attention.header.stamp) == stamp_ns == asked_ns:
            attention = self._attention
        # Its age is told anew each second.
        age_s = int(state.age_s) if state.current else 0
        said = (state.word, state.text, state.current, age_s)
        shown = (stamp_ns, said, asked_ns, attention is None, self._output.get_subscription_count())
        if shown == self._drawn:
            return
        self._drawn = shown
        self._publish(frame, state, attention, asked_ns == stamp_ns)

    def _publish(self, frame: Any, state: Standing, attention: Image | None, is_asked: bool) -> None:
        rgb = None
        if frame is not None:
            try:
                rgb = to_rgb(frame)
            except GazeVlmError as error:
                state = Standing("BAD FRAME", str(error), False)
        size, marks, answers, other = NOTHING_SIZE, Marks(), [], 0.0
        prediction = self._prediction
        if prediction is not None and state.word not in ("NO CAMERA", "BAD FRAME"):
            answers = [(candidate.text, candidate.probability) for candidate in prediction.candidates]
            other = prediction.other_probability
        if rgb is not None:
            height, width, _ = rgb.shape
            size = drawn_size(width, height, int(self.get_parameter("max_width").value))
            focus = None
            if is_asked and prediction is not None and math.isfinite(prediction.focus_x):
                focus = prediction.focus_x / width, prediction.focus_y / height
            at_ns = nanoseconds(frame.header.stamp)
            gaze = self._gaze_on(size, (width, height), at_ns, frame.header.frame_id)
            marks = Marks(_shares(attention), focus, gaze, at_ns)
        picture = draw(rgb, size, state, answers, other, int(self.get_parameter("answers").value), marks)
        message = CompressedImage(format="jpeg")
        message.header.stamp = self.get_clock().now().to_msg()
        if frame is not None:
            message.header = frame.header
        message.data = array("B", encode_jpeg(picture, int(self.get_parameter("jpeg_quality").value)))
        self._output.publish(message)
        self._pictures += 1

    def _gaze_on(
        self, size: tuple[int, int], frame_size: tuple[int, int], at_ns: int, frame_id: str
    ) -> GazeOnPicture | None:
        """Samples around a frame, in px of the picture; None where there are none, or those of another camera."""
        near_ns = round(2e9 * TRAIL_S)
        samples = [
            (stamp_ns, sample)
            for sample in list(self._gaze)
            if abs((stamp_ns := nanoseconds(sample.header.stamp)) - at_ns) < near_ns
            and (not frame_id or sample.header.frame_id in ("", frame_id))
        ]
        if not samples:
            return None
        samples.sort(key=lambda entry: entry[0])
        last = samples[-1][1]
        track = GazeTrack(
            np.array([stamp_ns for stamp_ns, _ in samples]),
            np.array([(sample.x, sample.y) for _, sample in samples]),
            np.array([sample.confidence for _, sample in samples]),
            np.array([sample.worn for _, sample in samples], np.uint8),
            np.array([sample.eye_state for _, sample in samples], np.uint8),
            (last.image_width, last.image_height) if last.image_width else frame_size,
        )
        return gaze_on_picture(track, size)

    def close(self) -> int:
        self._screen.show(f"overlay: {self._pictures} pictures")
        self._screen.close()
        return 0


def _shares(attention: Image | None) -> Any:
    if attention is None:
        return None
    return np.frombuffer(attention.data, "<f4").reshape(attention.height, attention.width)


def main() -> int:
    return run_node("overlay", OverlayNode)


if __name__ == "__main__":
    raise SystemExit(main())

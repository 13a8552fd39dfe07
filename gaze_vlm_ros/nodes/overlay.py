"""ROS 2 node: draws attention, the best answers, gaze and its assessment on the camera's frames, for RViz and Foxglove.

Publishes `overlay/compressed` (JPEG). While somebody subscribes to it, the node subscribes to the camera,
`next_action`, `attention`, `gaze` and `gaze_assessment`, otherwise to nothing. See config/overlay.yaml and
docs/overlay.md.
"""

from __future__ import annotations

import math
import sys
import time
from array import array
from collections import deque
from typing import Any

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from gaze_vlm_msgs.msg import ActionPrediction, GazeAssessment, GazeStamped
from gaze_vlm_ros.assessment.overlay_line import assessment_state, with_assessment
from gaze_vlm_ros.bags.stamps import nanoseconds
from gaze_vlm_ros.nodes.barrier import Barrier, describe
from gaze_vlm_ros.nodes.camera import Camera
from gaze_vlm_ros.nodes.camera_choice import NotACamera
from gaze_vlm_ros.nodes.decoded_subscription import subscribe_decoded
from gaze_vlm_ros.nodes.parameters import Declarations, topic_name
from gaze_vlm_ros.nodes.running import run_node
from gaze_vlm_ros.nodes.screen import Screen
from gaze_vlm_ros.nodes.stamps import time_of
from gaze_vlm_ros.video.images import RGB, encode_jpeg, to_rgb
from gaze_vlm_ros.view.overlay import (
    EMPTY_SIZE,
    Marks,
    PredictionState,
    draw_overlay,
    drawn_size,
    focus_share,
    gaze_near_frame,
    prediction_state,
    shown_answers,
    shown_text,
)

LOOK_PERIOD_S = 0.25  # between two checks for a viewer, and for the camera
GAZE_KEPT = 2000  # samples: enough for all kept frames at 200 Hz and more
FRAMES_KEPT_BYTES = 200_000_000  # 34 raw frames of 1600x1200, or seconds of JPEG
CAMERA_SILENT_S = 1.0  # then it is looked for again: it may have come back with another quality of service
GRACE_S = 2.0  # discovery may take this long; only then is a missing topic drawn as missing


class OverlayNode(Node):
    """Draws the frame of the newest prediction or, without a current prediction, the newest frame in grey."""

    def __init__(self) -> None:
        super().__init__("overlay")
        self._declare_parameters()
        self._camera_topic()  # fail now, and not when the first viewer comes
        self._screen = Screen(self)
        self.log = self._screen.log
        self.barrier = Barrier(lambda text: self._screen.show(f"overlay: warning: {text}", sys.stderr))
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still
        self._subscriptions_open: list[Any] = []
        self._camera: Camera | None = None
        self._pictures = 0
        self._reset()
        self._output = self.create_publisher(
            CompressedImage, "overlay/compressed", QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        )
        self.create_timer(LOOK_PERIOD_S, self._look_for_viewers, clock=self._steady)
        self._drawing = self.create_timer(1.0 / self._number("max_rate_hz"), self._draw_if_changed, clock=self._steady)
        self._drawing.cancel()
        self._screen.show(f"overlay is ready; waiting for a subscriber of {self._output.topic_name}")

    def _declare_parameters(self) -> None:
        declare = Declarations(self, fixed=True)
        declare.text("camera_topic", "camera/image_raw", "the predictor's camera: Image or CompressedImage")
        declare.text("gaze_topic", "gaze", "gaze_vlm_msgs/GazeStamped on that camera's images; empty: draw no gaze")
        declare.count("answers", 3, 1, 10, "number of best answers to draw, each as a bar")
        declare.number("max_rate_hz", 10.0, 0.5, 60.0, "most pictures per second, Hz")
        declare.count("max_width", 1280, 480, 8192, "wider frames are drawn at this width, px")
        declare.count("jpeg_quality", 80, 1, 100, "quality of the JPEG pictures")
        declare.number("buffer_s", 2.0, 0.1, 60.0, "how long frames are kept for their prediction, s")

    def _number(self, name: str) -> float:
        return float(self.get_parameter(name).value)

    # Viewers.

    def _look_for_viewers(self) -> None:
        viewers = self._output.get_subscription_count()
        if viewers and not self._subscriptions_open:
            self._open()
        elif not viewers and self._subscriptions_open:
            self._close()
        if self._camera is not None:
            self._look_for_camera(self._camera)

    def _open(self) -> None:
        self._reset()
        self._since = time.monotonic()
        reliable = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
        self._subscriptions_open = [
            subscribe_decoded(self, ActionPrediction, "next_action", self._on_prediction, reliable),
            subscribe_decoded(self, Image, "attention", self._on_attention, reliable),
            subscribe_decoded(self, GazeAssessment, "gaze_assessment", self._on_assessment, reliable),
        ]
        if topic := str(self.get_parameter("gaze_topic").value):
            # Accept any publisher; one lost sample of 200 Hz is invisible.
            lossy = QoSProfile(depth=GAZE_KEPT, reliability=ReliabilityPolicy.BEST_EFFORT)
            self._subscriptions_open.append(subscribe_decoded(self, GazeStamped, topic, self._on_gaze, lossy))
        self._camera = Camera(self, self._camera_topic(), self._on_image)
        self._drawing.reset()
        self._screen.show("a viewer subscribed: drawing")

    def _close(self) -> None:
        self._drawing.cancel()
        for subscription in self._subscriptions_open:
            self.destroy_subscription(subscription)
        if self._camera is not None:
            self._camera.destroy()
        self._subscriptions_open, self._camera = [], None
        self._reset()
        self._screen.show("no viewer is left: stopped drawing")

    def _reset(self) -> None:
        self._frames: deque[tuple[int, Any]] = deque()  # (acquisition stamp, message), ascending
        self._frames_bytes = 0
        self._gaze: deque[GazeStamped] = deque(maxlen=GAZE_KEPT)
        self._prediction: ActionPrediction | None = None
        self._received = -math.inf  # time.monotonic() of the prediction
        self._attention: Image | None = None
        self._assessment: tuple[GazeAssessment, float] | None = None  # and time.monotonic() when it came
        self._no_camera = ""
        self._drawn: tuple[Any, ...] = ()  # what the last picture showed

    # Subscriptions.

    def _camera_topic(self) -> str:
        return topic_name(self, str(self.get_parameter("camera_topic").value))

    def _look_for_camera(self, camera: Camera) -> None:
        topic = self._camera_topic()
        self._no_camera = f"nobody publishes {topic} or {topic}/compressed; start the camera, or set camera_topic"
        try:
            camera.look(CAMERA_SILENT_S)
        except NotACamera as error:
            self._no_camera = str(error)
        if camera.subscription is not None:
            self._no_camera = f"no frame on {camera.subscription.topic_name} yet"

    def _on_image(self, message: Any) -> None:
        stamp_ns = nanoseconds(message.header.stamp)
        buffer_ns = round(1e9 * self._number("buffer_s"))
        if self._frames and stamp_ns <= (newest_ns := self._frames[-1][0]):
            if stamp_ns > newest_ns - buffer_ns:
                return
            self._frames.clear()  # the clock was set back, or a bag started again
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
        _shares(message)  # raises where its bytes do not fill its size
        self._attention = message

    def _on_assessment(self, message: GazeAssessment) -> None:
        self._assessment = message, time.monotonic()

    def _on_gaze(self, message: GazeStamped) -> None:
        self._gaze.append(message)

    # Drawing.

    def _draw_if_changed(self) -> None:
        prediction = self._prediction
        state = prediction_state(prediction, self.get_clock().now().nanoseconds, time.monotonic() - self._received)
        stamp_ns, frame = self._frames[-1] if self._frames else (0, None)
        if (frame is None or prediction is None) and time.monotonic() - self._since < GRACE_S:
            return
        if frame is None:
            state = PredictionState("NO CAMERA", self._no_camera, False)
        predicted_ns = -1
        if state.current and prediction is not None:
            predicted_ns = nanoseconds(prediction.header.stamp)
            stamp_ns, frame = next((kept for kept in self._frames if kept[0] == predicted_ns), (stamp_ns, frame))
        attention = None
        if self._attention is not None and nanoseconds(self._attention.header.stamp) == stamp_ns == predicted_ns:
            attention = self._attention
        # A new picture each second updates the age.
        age_s = int(state.age_s) if state.current else 0
        shown_state = (state.word, state.text, state.current, age_s)
        assessed = self._assessed()
        viewers = self._output.get_subscription_count()
        shown = (stamp_ns, shown_state, predicted_ns, attention is None, assessed, viewers)
        if shown == self._drawn:
            return
        self._drawn = shown
        self._publish(frame, state, attention, predicted_ns == stamp_ns, assessed)

    def _assessed(self) -> PredictionState | None:
        """Return the state of the newest assessment; None before the first: nobody need wear glasses."""
        if self._assessment is None:
            return None
        message, came_s = self._assessment
        return assessment_state(message, self.get_clock().now().nanoseconds, time.monotonic() - came_s)

    def _publish(
        self,
        frame: Any,
        state: PredictionState,
        attention: Image | None,
        is_predicted: bool,
        assessed: PredictionState | None,
    ) -> None:
        rows = int(self.get_parameter("answers").value)
        try:
            picture = self._picture(frame, state, attention, is_predicted, rows)
        except Exception as error:  # a camera or a predictor may send anything
            self.barrier.refuse("the picture that is drawn", error)
            unknown = PredictionState("UNKNOWN", f"this cannot be drawn: {describe(error)}", False)
            picture = draw_overlay(None, EMPTY_SIZE, unknown, [], 0.0, rows, Marks())
        if assessed is not None:
            picture = with_assessment(picture, assessed)
        message = CompressedImage(format="jpeg")
        message.header.stamp = self.get_clock().now().to_msg()
        if frame is not None:
            message.header.stamp = time_of(nanoseconds(frame.header.stamp))
            message.header.frame_id = frame.header.frame_id
        message.data = array("B", encode_jpeg(picture, int(self.get_parameter("jpeg_quality").value)))
        self._output.publish(message)
        self._pictures += 1

    def _picture(
        self, frame: Any, state: PredictionState, attention: Image | None, is_predicted: bool, rows: int
    ) -> RGB:
        rgb = None
        if frame is not None:
            try:
                rgb = to_rgb(frame)
            except Exception as error:  # also what OpenCV raises on the sizes that it does not take
                self.barrier.refuse("the camera", error)
                state = PredictionState("BAD FRAME", shown_text(str(error)), False)
        size, marks, answers, other = EMPTY_SIZE, Marks(), [], 0.0
        prediction = self._prediction
        if prediction is not None and state.word not in ("NO CAMERA", "BAD FRAME"):
            answers = shown_answers(prediction)
            other = prediction.other_probability
        if rgb is not None:
            height, width, _ = rgb.shape
            size = drawn_size(width, height, int(self.get_parameter("max_width").value))
            focus = None
            if is_predicted and prediction is not None:
                focus = focus_share(prediction, (width, height))
            at_ns = nanoseconds(frame.header.stamp)
            samples = ((nanoseconds(sample.header.stamp), sample) for sample in list(self._gaze))
            gaze = gaze_near_frame(samples, at_ns, frame.header.frame_id, (width, height), size)
            marks = Marks(_shares(attention), focus, gaze, at_ns)
        return draw_overlay(rgb, size, state, answers, other, rows, marks)

    def close(self) -> int:
        """Print the number of pictures. Return the exit code."""
        self._screen.show(f"overlay: {self._pictures} pictures")
        self._screen.close()
        return 0


def _shares(attention: Image | None) -> Any:
    if attention is None:
        return None
    shares = np.frombuffer(attention.data, "<f4").reshape(attention.height, attention.width)
    if not shares.size:
        raise ValueError("an attention image without pixels")
    return shares


def main() -> int:
    """Run the node."""
    return run_node("overlay", OverlayNode)


if __name__ == "__main__":
    raise SystemExit(main())

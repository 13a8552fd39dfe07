"""ROS 2 node: simulates a person at a bench, with head camera, eye tracker and labels. See config/simulator.yaml.

Publishes camera/image_raw, camera/image_raw/compressed, camera/camera_info, gaze and label, stamped with their time of
acquisition; if speed is not 1, also /clock, for nodes that run with use_sim_time.
"""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from array import array
from typing import NamedTuple

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from gaze_vlm_msgs.msg import ActionLabel, GazeStamped
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.nodes.parameters import ParameterNode, declared_like
from gaze_vlm_ros.nodes.running import NodeFinished, run_node, until_shutdown
from gaze_vlm_ros.nodes.screen import Screen
from gaze_vlm_ros.nodes.stamps import time_of
from gaze_vlm_ros.sim.bench_session import (
    FIELD_OF_VIEW_DEG,
    FRAME_ID,
    Event,
    FrameEvent,
    GazeEvent,
    LabelEvent,
    simulate,
)
from gaze_vlm_ros.sim.bench_settings import BenchSettings
from gaze_vlm_ros.video.images import encode_jpeg

LATE_S = 0.5  # a larger delay is reported: the machine is too slow for `speed`


class NobodyListens(GazeVlmError):
    """A topic in wait_for_subscribers has no subscriber."""


class BadSpeed(GazeVlmError):
    """The speed is not a positive number."""


class SimulatorParameters(NamedTuple):
    """Values of the simulator's parameters."""

    settings: BenchSettings
    speed: float  # times real time
    wait_for_subscribers: list[str]  # topics that need a subscriber before the session starts
    wait_s: float  # s to wait for them


def read_parameters(node: ParameterNode) -> SimulatorParameters:
    """Declare the simulator's parameters on `node` and return their values.

    Those of the session have the defaults of BenchSettings. Raises BadParameter, BadBenchSettings and BadSpeed.
    """
    defaults = dataclasses.asdict(BenchSettings())
    settings = BenchSettings(**{name: declared_like(node, name, default) for name, default in defaults.items()})
    speed = declared_like(node, "speed", 1.0, "times real time; other than 1, /clock is published")
    if not speed > 0:
        raise BadSpeed(f"speed is {speed:g}, expected more than 0; 1 is real time")
    topics = declared_like(
        node, "wait_for_subscribers", [""], "topics that need a subscriber before the session starts"
    )
    wait_s = declared_like(node, "wait_s", 15.0, "s to wait for them")
    return SimulatorParameters(settings, speed, [topic for topic in topics if topic], wait_s)


class Simulator(Node):
    """Publishes on schedule in its own thread; the executor only waits for the end of that thread."""

    def __init__(self) -> None:
        super().__init__("simulator")
        self._settings, self._speed, wanted, self._wait_s = read_parameters(self)
        image_qos = QoSProfile(depth=30, reliability=ReliabilityPolicy.RELIABLE)
        sample_qos = QoSProfile(depth=2000, reliability=ReliabilityPolicy.RELIABLE)
        self._image = self.create_publisher(Image, "camera/image_raw", image_qos)
        self._compressed = self.create_publisher(CompressedImage, "camera/image_raw/compressed", image_qos)
        self._camera_info = self.create_publisher(CameraInfo, "camera/camera_info", image_qos)
        self._gaze = self.create_publisher(GazeStamped, "gaze", sample_qos)
        self._label = self.create_publisher(ActionLabel, "label", sample_qos)
        self._sim_time = self.create_publisher(ClockMessage, "/clock", 10) if self._speed != 1 else None
        self._wanted = [self.resolve_topic_name(topic) for topic in wanted]
        self._failure: Exception | None = None
        self._published = dict.fromkeys(("frames", "gaze", "labels"), 0)
        self._late_s = 0.0
        self._stop = threading.Event()
        self._screen = Screen(self)  # output on a full disk, or a terminal that is held, must not end the session
        self.log = self._screen.log
        self._thread = threading.Thread(target=self._run, name="publish")
        self._thread.start()
        self.create_timer(0.05, self._watch, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _watch(self) -> None:
        if self._thread.is_alive():
            return
        if self._failure is not None:
            raise self._failure
        raise NodeFinished()

    # In the publishing thread.

    def _run(self) -> None:
        try:
            with until_shutdown(self):
                self._wait_for_subscribers()
                self._publish_all()
        except Exception as error:  # raised again in the executor's thread
            self._failure = error

    def _wait_for_subscribers(self) -> None:
        deadline = time.monotonic() + self._wait_s
        while missing := [topic for topic in self._wanted if not self.count_subscribers(topic)]:
            if time.monotonic() > deadline:
                raise NobodyListens(
                    f"nobody subscribed to {', '.join(missing)} within {self._wait_s:g} s; start the recorder or "
                    "predictor, or leave the topic out of wait_for_subscribers"
                )
            if self._stop.wait(0.02):
                return
        # A subscriber counts as soon as the match is known here; the other side may learn of it a moment later.
        if self._wanted:
            self._stop.wait(0.3)

    def _publish_all(self) -> None:
        start_ns, started = time.time_ns(), time.monotonic()
        self._screen.show(f"simulating {self._settings.duration_s:g} s at speed {self._speed:g}")
        for event in simulate(self._settings):
            due_s = started + event.t_ns / 1e9 / self._speed - time.monotonic()
            # Publish samples due within a millisecond together: waking up costs more than publishing.
            if due_s > 0.001 and self._stop.wait(due_s):
                return
            self._late_s = max(self._late_s, -due_s)
            self._publish(event, start_ns + event.t_ns)
        for publisher in (self._image, self._compressed, self._gaze, self._label):
            publisher.wait_for_all_acked(Duration(seconds=5))

    def _publish(self, event: Event, stamp_ns: int) -> None:
        stamp = time_of(stamp_ns)
        match event:
            case FrameEvent():
                self._publish_frame(event, stamp)
            case GazeEvent():
                message = GazeStamped(
                    x=event.x, y=event.y, image_width=self._settings.width, image_height=self._settings.height,
                    confidence=event.confidence, worn=event.worn, eye_state=event.eye_state,
                    pupil_diameter_left=math.nan, pupil_diameter_right=math.nan, vergence_distance=math.nan,
                )  # fmt: skip
                message.header.stamp, message.header.frame_id = stamp, FRAME_ID
                message.device_stamp = time_of(event.t_ns)
                self._gaze.publish(message)
                self._published["gaze"] += 1
            case LabelEvent():
                label = ActionLabel(text=event.text, verb=event.verb, object_class=event.object_class)
                label.header.stamp = stamp
                self._label.publish(label)
                self._published["labels"] += 1

    def _publish_frame(self, event: FrameEvent, stamp: Time) -> None:
        if self._sim_time is not None:
            self._sim_time.publish(ClockMessage(clock=stamp))
        height, width, _ = event.rgb.shape
        # Encode and copy nothing for a topic without subscribers.
        if self._image.get_subscription_count():
            image = Image(height=height, width=width, encoding="rgb8", step=3 * width)
            image.header.stamp, image.header.frame_id = stamp, FRAME_ID
            image.data = array("B", event.rgb.tobytes())
            self._image.publish(image)
        if self._compressed.get_subscription_count():
            picture = CompressedImage(format="rgb8; jpeg compressed bgr8")
            picture.header.stamp, picture.header.frame_id = stamp, FRAME_ID
            picture.data = array("B", encode_jpeg(event.rgb))
            self._compressed.publish(picture)
        if self._camera_info.get_subscription_count():
            self._camera_info.publish(_pinhole(width, height, stamp))
        self._published["frames"] += 1

    def close(self) -> int:
        """Stop the thread and print what was published. Return the exit code."""
        self._stop.set()
        self._thread.join()
        counts = ", ".join(f"{count} {name}" for name, count in self._published.items())
        self._screen.show(f"simulator: published {counts}")
        if self._late_s > LATE_S:
            self._screen.show(
                f"simulator: fell {self._late_s:.1f} s behind schedule; use a lower speed on this machine"
            )
        self._screen.close()
        return 0


def _pinhole(width: int, height: int, stamp: Time) -> CameraInfo:
    """Camera without distortion, with the field of view that the simulated tracker errors assume."""
    focal_px = width / 2 / np.tan(np.radians(FIELD_OF_VIEW_DEG / 2))
    info = CameraInfo(width=width, height=height, distortion_model="plumb_bob", d=[0.0] * 5)
    info.header.stamp, info.header.frame_id = stamp, FRAME_ID
    info.k = [focal_px, 0.0, width / 2, 0.0, focal_px, height / 2, 0.0, 0.0, 1.0]
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    info.p = [focal_px, 0.0, width / 2, 0.0, 0.0, focal_px, height / 2, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


def main() -> int:
    """Run the node."""
    return run_node("simulator", Simulator)


if __name__ == "__main__":
    raise SystemExit(main())

"""ROS 2 lifecycle node: how the wearer's gaze fits the task, against the predictor's attention and normal sessions.

Subscribes `gaze`, `attention`, `next_action`, `label` and `regions`; publishes `gaze_assessment` and `/diagnostics`.
See config/gaze_monitor.yaml and docs/gaze_monitor.md.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from gaze_vlm_msgs.msg import ActionLabel, ActionPrediction, GazeAssessment, GazeStamped, ImageRegions
from gaze_vlm_ros.assessment.baseline import Baseline, read_baseline
from gaze_vlm_ros.assessment.current_action import BoxedImage
from gaze_vlm_ros.assessment.moments import WINDOW_S
from gaze_vlm_ros.assessment.monitoring import Assessment, AssessmentStatus, Monitor, Sample
from gaze_vlm_ros.bags.stamps import nanoseconds
from gaze_vlm_ros.nodes.configuring import ConfiguringNode
from gaze_vlm_ros.nodes.decoded_subscription import subscribe_decoded
from gaze_vlm_ros.nodes.diagnostics import diagnostic_status
from gaze_vlm_ros.nodes.parameters import Declarations, ParameterNode, topic_name
from gaze_vlm_ros.nodes.running import run_node
from gaze_vlm_ros.nodes.screen import Screen
from gaze_vlm_ros.nodes.stamps import time_of

GAZE_DEPTH = 2000  # samples that DDS keeps while Python is busy: 10 s at 200 Hz


def declare_parameters(node: ParameterNode) -> None:
    """Declare the parameters of the node."""
    declare = Declarations(node, fixed=True)
    declare.flag("autostart", True, "configure and activate without a lifecycle manager")
    declare.text("baseline", "", "file of gaze-vlm assess --write-baseline; empty: the node abstains")
    declare.text("gaze_topic", "gaze", "gaze_vlm_msgs/GazeStamped on the predictor's camera")
    # With stale_after_s, a fault shows within a second.
    declare.number("rate_hz", 5.0, 0.5, 50.0, "assessments per second, Hz, also without an answer")
    declare.number("stale_after_s", 0.8, 0.1, 60.0, "time without gaze or attention until the status is STALE_INPUT, s")
    # Two moments of the baseline's rate, and the time of an inference.
    declare.number("valid_s", 2.0, 0.1, 60.0, "time after the last frame for which an assessment may be used, s")


class GazeMonitorNode(ConfiguringNode):
    """Configure reads the baseline, activate assesses, deactivate stops. With autostart it does both by itself."""

    def __init__(self) -> None:
        super().__init__("gaze_monitor")
        declare_parameters(self)
        self._screen = Screen(self)
        self.log = self._screen.log
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still
        self._baseline: Baseline | None = None
        self._monitor: Monitor | None = None  # while active
        self._open: list[Any] = []  # subscriptions
        self._newest = Assessment(AssessmentStatus.NO_INPUT, "inactive")
        self._published = 0
        reliable = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        self._output = self.create_publisher(GazeAssessment, "gaze_assessment", reliable)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(1.0, self._publish_diagnostics, clock=self._steady)
        self._cycle = self.create_timer(1.0 / self._number("rate_hz"), self._publish, clock=self._steady)
        self._cycle.cancel()
        if self.get_parameter("autostart").value:
            self.start_itself(self._steady)

    def _number(self, name: str) -> float:
        return float(self.get_parameter(name).value)

    # Transitions.

    def load(self) -> None:
        """Read the baseline."""
        topic_name(self, str(self.get_parameter("gaze_topic").value))
        path = str(self.get_parameter("baseline").value)
        self._baseline = read_baseline(Path(path)) if path else None

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe, and assess."""
        self._monitor = Monitor(self._baseline, self._number("stale_after_s"), self._number("valid_s"))
        reliable = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
        lossy = QoSProfile(depth=GAZE_DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)  # accept any publisher
        boxes = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)  # accept any detector
        topic = topic_name(self, str(self.get_parameter("gaze_topic").value))
        self._open = [
            subscribe_decoded(self, GazeStamped, topic, self._on_gaze, lossy),
            subscribe_decoded(self, Image, "attention", self._on_attention, reliable),
            subscribe_decoded(self, ActionPrediction, "next_action", self._on_prediction, reliable),
            subscribe_decoded(self, ActionLabel, "label", self._on_label, reliable),
            subscribe_decoded(self, ImageRegions, "regions", self._on_regions, boxes),
        ]
        self._cycle.reset()
        baseline = self._baseline.id if self._baseline else "no baseline, so it abstains"
        self._screen.show(f"gaze_monitor is ready: {baseline}; waiting for {topic} and attention")
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop, and forget all gaze."""
        self._stop()
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget the baseline."""
        self._baseline = None
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop, and forget all gaze."""
        self._stop()
        return TransitionCallbackReturn.SUCCESS

    def _stop(self) -> None:
        self._cycle.cancel()
        for subscription in self._open:
            self.destroy_subscription(subscription)
        self._open, self._monitor = [], None
        self._newest = Assessment(AssessmentStatus.NO_INPUT, "inactive")

    # Inputs. A message that raises is refused and counted by the node's barrier.

    def _on_gaze(self, message: Any) -> None:
        if self._monitor is not None:
            sample = Sample(
                nanoseconds(message.header.stamp), float(message.x), float(message.y), float(message.confidence),
                int(message.worn), int(message.eye_state), (int(message.image_width), int(message.image_height)),
                str(message.header.frame_id),
            )  # fmt: skip
            self._monitor.add_gaze(sample, time.monotonic())

    def _on_attention(self, message: Any) -> None:
        if self._monitor is not None:
            shares = np.frombuffer(message.data, "<f4").reshape(message.height, message.width)
            stamp_ns = nanoseconds(message.header.stamp)
            self._monitor.add_attention(
                stamp_ns, np.asarray(shares, float), str(message.header.frame_id), time.monotonic()
            )

    def _on_prediction(self, message: Any) -> None:
        if self._monitor is not None and message.model_id:
            self._monitor.model_id = str(message.model_id)

    def _on_label(self, message: Any) -> None:
        if self._monitor is not None:
            start_ns = nanoseconds(message.header.stamp)
            self._monitor.action.add_label(start_ns, str(message.text), str(message.object_class))

    def _on_regions(self, message: Any) -> None:
        if self._monitor is not None:
            self._monitor.action.add_boxes(
                BoxedImage(
                    nanoseconds(message.header.stamp), list(message.names),
                    np.asarray(message.boxes, float).reshape(-1, 4),
                    (int(message.image_width), int(message.image_height)), str(message.header.frame_id),
                )
            )  # fmt: skip

    # Outputs.

    def _publish(self) -> None:
        if self._monitor is None:
            return
        found = self._monitor.assess(self.get_clock().now().nanoseconds, time.monotonic())
        self._newest = found
        self._output.publish(assessment_message(found, self._monitor, self._baseline))
        self._published += 1

    def _publish_diagnostics(self) -> None:
        found = self._newest
        level = {
            AssessmentStatus.STALE_INPUT: DiagnosticStatus.WARN,
            AssessmentStatus.ERROR: DiagnosticStatus.ERROR,
        }.get(found.status, DiagnosticStatus.OK)
        values: dict[str, object] = {
            "status": found.status.name,
            "assessments": self._published,
            "baseline": self._baseline.id if self._baseline else "-",
        }
        model_id = self._monitor.model_id if self._monitor is not None else ""
        status = diagnostic_status(self, "assessment", level, found.text or "assessing", values, model_id)
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def close(self) -> int:
        """Print the number of assessments. Return the exit code."""
        self._screen.show(f"gaze_monitor: {self._published} assessments")
        self._screen.close()
        return 0


def assessment_message(found: Assessment, monitor: Monitor, baseline: Baseline | None) -> GazeAssessment:
    """Return the message of an assessment; all numbers are NaN unless its status is OK."""
    message = GazeAssessment(status=int(found.status), status_text=found.text)
    message.header.frame_id = monitor.frame_id
    message.header.stamp = message.window_start = message.valid_until = time_of(found.stamp_ns)
    message.score_kind = GazeAssessment.SCORE_RANK_ONLY
    message.model_id = monitor.model_id
    message.baseline_id = baseline.id if baseline is not None else ""
    row, standing = found.row, found.standing
    known = row is not None and standing is not None
    message.surprise = row["surprise"] if row is not None else math.nan
    message.surprise_percentile = standing.percentiles["surprise"] if standing is not None else math.nan
    message.attention_to_task = 1.0 - row["off_task"] if row is not None else math.nan
    message.looked_first = found.looked_first_s
    message.needs_help = standing.needs_help if standing is not None else math.nan
    message.odd = standing.odd if standing is not None else math.nan
    if known:
        message.window_start = time_of(found.stamp_ns - round(WINDOW_S * 1e9))
        message.valid_until = time_of(found.stamp_ns + round(monitor.valid_s * 1e9))
    return message


def main() -> int:
    """Run the node."""
    return run_node("gaze_monitor", GazeMonitorNode)


if __name__ == "__main__":
    raise SystemExit(main())

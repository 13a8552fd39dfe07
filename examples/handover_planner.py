"""Example planner: helps with what the person is about to take, and shows what to check before a robot moves.

    ros2 run gaze_vlm_ros predictor --ros-args -p checkpoint:=runs/bench &
    python examples/handover_planner.py --ros-args -p "helps_with:=[take the red mug, take the jar]"

`Robot.begin` and `Robot.cancel` only print; put your action client there. The rules are those of gaze_vlm_ros.planning:
act only on status OK and on probable answers, never after `valid_until`, once per answer, and cancel the action when
another answer comes, or no message at all.

Where a gaze monitor runs (docs/gaze_monitor.md), the robot waits with new actions while the person seems to need help:
the person looks for something, and a robot that moves then gets in the way. Without a monitor nothing changes.
"""

from __future__ import annotations

import time
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from gaze_vlm_msgs.msg import GazeAssessment
from gaze_vlm_ros.bags.stamps import nanoseconds
from gaze_vlm_ros.nodes import PredictionInput
from gaze_vlm_ros.nodes.decoded_subscription import subscribe_decoded
from gaze_vlm_ros.planning import PredictionFollower


class Robot:
    """Stands in for an action client."""

    def begin(self, action: str) -> None:
        """Start helping with an action."""
        print(f"robot: begin helping with '{action}'", flush=True)

    def wait(self) -> None:
        """Begin nothing new, and offer help."""
        print("robot: wait: the person seems to need help", flush=True)

    def cancel(self, action: str, why: str) -> None:
        """Stop helping with an action."""
        print(f"robot: cancel '{action}': {why}", flush=True)


class HandoverPlanner(Node):
    """Starts an action of the robot while a prediction holds, and cancels it when the prediction no longer does."""

    def __init__(self, robot: Robot) -> None:
        super().__init__("handover_planner")
        self._robot = robot
        helps_with: set[str] = set(self.declare_parameter("helps_with", [""]).value)
        # For a model without thresholds of its own. Weigh the cost of a wrong move against that of a late one; 0.7 is a
        # starting point. A model that says when nothing begins gives OK only where its own thresholds are reached.
        least = float(self.declare_parameter("least_probability", 0.7).value)
        # Time without a message after which the predictor counts as dead; 0 = 1.5 / rate_hz of the predictor.
        silence_s = float(self.declare_parameter("silence_s", 0.0).value)
        self._follower = PredictionFollower(lambda best: best.action_id in helps_with, least, silence_s)
        self._doing = ""  # the action that the robot helps with
        # A share of normal windows, no probability: 1 in 100 normal windows is above this, too.
        self._help_above = float(self.declare_parameter("help_above", 0.99).value)
        self._assessment: Any = None  # the newest GazeAssessment
        self._waits = False
        newest = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        subscribe_decoded(self, GazeAssessment, "gaze_assessment", self._on_assessment, newest)
        self._input = PredictionInput(self, self._follower, self._step)
        # If the predictor dies, no message will cancel the action.
        self.create_timer(0.05, self._step)

    def _step(self) -> None:
        holds = self._holds()
        if self._doing and holds.prediction is None:
            self._robot.cancel(self._doing, holds.why)
            self._doing = ""
            holds = self._holds()  # another answer may hold at once
        waits = self._needs_help()
        if waits and not self._waits:
            self._robot.wait()
        self._waits = waits
        if not self._doing and not waits and holds.prediction is not None:
            self._doing = holds.prediction.candidates[0].text
            self._robot.begin(self._doing)

    def _on_assessment(self, message: Any) -> None:
        self._assessment = message

    def _needs_help(self) -> bool:
        """Whether an assessment says so that may be used now. An action that goes on is not cancelled by it."""
        found = self._assessment
        if found is None or found.status != GazeAssessment.STATUS_OK or not found.needs_help > self._help_above:
            return False
        now_ns = self.get_clock().now().nanoseconds
        return nanoseconds(found.header.stamp) <= now_ns + 500_000_000 and now_ns <= nanoseconds(found.valid_until)

    def _holds(self) -> Any:
        return self._follower.update(self.get_clock().now().nanoseconds, time.monotonic())


def main() -> None:
    """Run the planner until it is interrupted."""
    rclpy.init()
    try:
        rclpy.spin(HandoverPlanner(Robot()))
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()

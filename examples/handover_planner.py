"""Example planner: helps with what the person is about to take, and shows what to check before a robot moves.

    ros2 run gaze_vlm_ros predictor --ros-args -p checkpoint:=runs/bench &
    python examples/handover_planner.py --ros-args -p "helps_with:=[take the red mug, take the jar]"

`Robot.begin` and `Robot.cancel` only print; put your action client there. The rules are those of gaze_vlm_ros.planning:
act only on status OK and on probable answers, never after `valid_until`, once per answer, and cancel the action when
another answer comes, or no message at all.
"""

from __future__ import annotations

import time
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

from gaze_vlm_ros.nodes import PredictionInput
from gaze_vlm_ros.planning import PredictionFollower


class Robot:
    """Stands in for an action client."""

    def begin(self, action: str) -> None:
        """Start helping with an action."""
        print(f"robot: begin helping with '{action}'", flush=True)

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
        self._input = PredictionInput(self, self._follower, self._step)
        # If the predictor dies, no message will cancel the action.
        self.create_timer(0.05, self._step)

    def _step(self) -> None:
        holds = self._holds()
        if self._doing and holds.prediction is None:
            self._robot.cancel(self._doing, holds.why)
            self._doing = ""
            holds = self._holds()  # another answer may hold at once
        if not self._doing and holds.prediction is not None:
            self._doing = holds.prediction.candidates[0].text
            self._robot.begin(self._doing)

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

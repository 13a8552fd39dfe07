"""Example planner: helps with what the person is about to take, and shows what to check before a robot moves.

    ros2 run gaze_vlm_ros predictor --ros-args -p checkpoint:=runs/bench &
    python examples/handover_planner.py --ros-args -p "helps_with:=[take the red mug, take the jar]"

`Robot.begin` and `Robot.cancel` only print; put your action client there. Keep the rules: act only on status OK and on
probable answers, never after `valid_until`, once per revision, and cancel the action when the revision changes.
"""

from __future__ import annotations

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time

from gaze_vlm_msgs.msg import ActionPrediction


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
        self._helps_with: set[str] = set(self.declare_parameter("helps_with", [""]).value)
        # For a model without thresholds of its own. Weigh the cost of a wrong move against that of a late one; 0.7 is a
        # starting point. A model that says when nothing begins gives OK only where its own thresholds are reached.
        self._least = float(self.declare_parameter("least_probability", 0.7).value)
        self._doing: ActionPrediction | None = None  # the prediction that the robot acts on
        # Reliable, and only the newest message: an older prediction is of no use.
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        self.create_subscription(ActionPrediction, "next_action", self._on_prediction, qos)
        # If the predictor dies, no message will cancel the action.
        self.create_timer(0.05, self._expire)

    def _on_prediction(self, prediction: ActionPrediction) -> None:
        if self._doing is not None:
            if prediction.revision == self._doing.revision:
                self._doing = prediction  # the same answer from newer frames: its validity is extended
                return
            self._cancel(self._why_not(prediction) or f"the person will {prediction.candidates[0].text} instead")
        if self._why_not(prediction):
            return
        self._doing = prediction
        self._robot.begin(prediction.candidates[0].text)

    def _why_not(self, prediction: ActionPrediction) -> str:
        """Reason not to act on a prediction; "" = none."""
        if prediction.status != ActionPrediction.STATUS_OK:
            return f"the predictor says: {prediction.status_text or prediction.status}"
        if self._is_over(prediction):
            return "it came too late"
        if prediction.score_kind == ActionPrediction.SCORE_RANK_ONLY:
            return "its scores are not probabilities"
        best = prediction.candidates[0]
        if best.probability < self._least and not prediction.nothing_probability > 0:
            return f"'{best.text}' has a probability of only {best.probability:.2f}"
        if best.text not in self._helps_with:
            return f"nothing to do for '{best.text}'"
        return ""

    def _is_over(self, prediction: ActionPrediction) -> bool:
        return self.get_clock().now() > Time.from_msg(prediction.valid_until)

    def _expire(self) -> None:
        if self._doing is not None and self._is_over(self._doing):
            self._cancel("the prediction expired, and no newer one confirms it")

    def _cancel(self, why: str) -> None:
        assert self._doing is not None
        self._robot.cancel(self._doing.candidates[0].text, why)
        self._doing = None


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

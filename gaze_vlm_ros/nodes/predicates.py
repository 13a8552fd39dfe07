"""ROS 2 node: keeps predicates of a symbolic planner, such as PlanSys2, by the predictor's answers.

Subscribes `next_action` and `model_info`; publishes latched `predicates`. See config/predicates.yaml and
docs/predicates.md.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from gaze_vlm_msgs.msg import Predicates
from gaze_vlm_ros.bags.stamps import nanoseconds
from gaze_vlm_ros.nodes.parameters import Declarations, ParameterNode, read
from gaze_vlm_ros.nodes.prediction_input import PredictionInput
from gaze_vlm_ros.nodes.running import run_node
from gaze_vlm_ros.nodes.stamps import time_of
from gaze_vlm_ros.planning import PredictionFollower, predicate_of
from gaze_vlm_ros.planning.rules import LEAST_PROBABILITY

CHECK_S = 0.05  # how often it looks whether an answer has expired, or the predictor is silent
REPEAT_S = 1.0  # shows that the node is alive


@dataclass(frozen=True)
class PredicatesParameters:
    """Parameters of the node, by name."""

    objects: tuple[str, ...]
    least_probability: float
    silence_s: float


class PredicatesNode(Node):
    """Publishes what holds when it changes or holds for longer, and once a second."""

    def __init__(self) -> None:
        super().__init__("predicates")
        self._declare_parameters(self)
        settings = read(self, PredicatesParameters)
        self._objects = settings.objects
        self._follower = PredictionFollower(
            lambda best: bool(predicate_of(best, self._objects)), settings.least_probability, settings.silence_s
        )
        self._published: Predicates | None = None
        self._published_s = 0.0
        latched = QoSProfile(
            depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
        )
        self._publisher = self.create_publisher(Predicates, "predicates", latched)
        self._input = PredictionInput(self, self._follower, self._check)
        self.create_timer(CHECK_S, self._check, clock=Clock(clock_type=ClockType.STEADY_TIME))

    @staticmethod
    def _declare_parameters(node: ParameterNode) -> None:
        declare = Declarations(node, fixed=True)
        declare.texts("objects", "names of objects that the planner's problem has; empty: any object")
        declare.number(
            "least_probability",
            LEAST_PROBABILITY,
            0.0,
            1.0,
            "least probability of the best candidate, of a model without thresholds of its own",
        )
        declare.number(
            "silence_s", 0.0, 0.0, 3600.0, "time without a prediction after which nothing holds, s; 0: 1.5 / rate_hz"
        )

    def _check(self) -> None:
        message, at_s = self._what_holds(), time.monotonic()
        before = self._published
        # The reason is left out: its figures change all the time.
        changed = before is None or (message.predicates, message.valid_until) != (before.predicates, before.valid_until)
        if changed or at_s - self._published_s > REPEAT_S:
            self._publisher.publish(message)
            self._published, self._published_s = message, at_s

    def _what_holds(self) -> Predicates:
        holds = self._follow()
        if holds.prediction is None:
            holds = self._follow()  # an answer that replaced another one may hold at once
        prediction = holds.prediction
        if prediction is None:
            return Predicates(reason=holds.why)
        message = Predicates(
            predicates=[predicate_of(prediction.candidates[0], self._objects)],
            valid_until=time_of(nanoseconds(prediction.valid_until)),
        )
        message.header.stamp = time_of(nanoseconds(prediction.header.stamp))
        message.header.frame_id = prediction.header.frame_id
        return message

    def _follow(self) -> Any:
        return self._follower.update(self.get_clock().now().nanoseconds, time.monotonic())

    def close(self) -> int:
        """Return the exit code."""
        return 0


def main() -> int:
    """Run the node."""
    return run_node("predicates", PredicatesNode)


if __name__ == "__main__":
    raise SystemExit(main())

"""Example behaviour tree: the robot hands over an object while a prediction holds. Needs `pip install py_trees`.

    ros2 run gaze_vlm_ros predictor --ros-args -p checkpoint:=runs/bench &
    python examples/handover_tree.py --ros-args -p "helps_with:=[take the red mug, take the jar]"

The condition stands first in a sequence without memory, so that each tick checks it again, and the action after it is
stopped when it fails. `HandOver` only prints; put your action client there.
"""

from __future__ import annotations

import py_trees
import rclpy
from py_trees.behaviour import Behaviour
from py_trees.common import Status
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

from gaze_vlm_ros.nodes import PredictionHolds

TICK_S = 0.05


class HandOver(Behaviour):
    """Stands in for an action that runs until it is stopped."""

    def __init__(self, action: str) -> None:
        super().__init__(f"hand over for '{action}'")
        self._action = action

    def initialise(self) -> None:
        """Begin."""
        print(f"robot: begin helping with '{self._action}'", flush=True)

    def update(self) -> Status:
        """Go on."""
        return Status.RUNNING

    def terminate(self, new_status: Status) -> None:
        """Stop, where it was running."""
        if self.status == Status.RUNNING:
            print(f"robot: cancel '{self._action}'", flush=True)


def handover_tree(actions: list[str], least_probability: float, silence_s: float) -> Behaviour:
    """Return one sequence for each action, and waiting where none of them holds."""
    return py_trees.composites.Selector(
        "help",
        memory=False,
        children=[
            *(
                py_trees.composites.Sequence(
                    f"help with '{action}'",
                    memory=False,
                    children=[
                        PredictionHolds(f"'{action}' holds", action, least_probability, silence_s),
                        HandOver(action),
                    ],
                )
                for action in actions
            ),
            py_trees.behaviours.Running("wait"),
        ],
    )


def main() -> None:
    """Tick the tree until it is interrupted."""
    rclpy.init()
    node = Node("handover_tree")
    actions: list[str] = list(node.declare_parameter("helps_with", [""]).value)
    least_probability = float(node.declare_parameter("least_probability", 0.7).value)
    silence_s = float(node.declare_parameter("silence_s", 0.0).value)
    tree = py_trees.trees.BehaviourTree(handover_tree(actions, least_probability, silence_s))
    tree.setup(node=node)
    node.create_timer(TICK_S, tree.tick)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        tree.interrupt()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()

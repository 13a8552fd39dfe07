"""py_trees: a condition that holds while a prediction may be acted on. Needs `pip install py_trees`."""

from __future__ import annotations

import time
from typing import Any

from rclpy.node import Node

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.nodes.prediction_input import PredictionInput
from gaze_vlm_ros.planning import PredictionFollower
from gaze_vlm_ros.planning.rules import LEAST_PROBABILITY


def _py_trees() -> tuple[Any, Any]:
    """Return the classes Behaviour and Status; (object, None) without py_trees, so that this module can be imported."""
    try:
        from py_trees import behaviour, common
    except ImportError:
        return object, None
    return behaviour.Behaviour, common.Status


Behaviour: Any
Status: Any
Behaviour, Status = _py_trees()


class NoPyTrees(GazeVlmError):
    """py_trees is not installed."""


class PredictionHolds(Behaviour):
    """SUCCESS while the best candidate of `next_action` is `action_id` and may be acted on, else FAILURE.

    Put it first in a Sequence without memory: the action after it is stopped when the prediction no longer holds, also
    for one tick where a new answer of the same name replaced it. `feedback_message` says why it fails.
    The tree must be set up with `node=`, as py_trees_ros does, and the node be spun between ticks.
    """

    def __init__(
        self, name: str, action_id: str, least_probability: float = LEAST_PROBABILITY, silence_s: float = 0.0
    ) -> None:
        """action_id: of the candidate. least_probability, silence_s: see planning.PredictionFollower.

        Raises NoPyTrees.
        """
        if Status is None:
            raise NoPyTrees(
                "PredictionHolds needs py_trees, which is not installed; `pip install py_trees`, or install "
                "ros-<distribution>-py-trees"
            )
        super().__init__(name)
        self.action_id = action_id
        self._follower = PredictionFollower(
            lambda best: bool(best.action_id == action_id), least_probability, silence_s
        )
        self._input: PredictionInput | None = None
        self._node: Node | None = None

    def setup(self, **kwargs: Any) -> None:
        """Subscribe `next_action` and `model_info`. Raises KeyError without `node=`."""
        try:
            self._node = kwargs["node"]
        except KeyError:
            raise KeyError(f"{self.name} needs a node: call tree.setup(node=...)") from None
        self._input = PredictionInput(self._node, self._follower)

    def update(self) -> Any:
        """Say whether the prediction holds now."""
        if self._node is None:
            self.feedback_message = "it is not set up: call tree.setup(node=...)"
            return Status.FAILURE
        holds = self._follower.update(self._node.get_clock().now().nanoseconds, time.monotonic())
        self.feedback_message = holds.why
        return Status.FAILURE if holds.prediction is None else Status.SUCCESS

    def shutdown(self) -> None:
        """Unsubscribe."""
        if self._input is not None:
            self._input.destroy()
        self._input = self._node = None

"""Watch a live run: print each action of the person with its prediction, and save all of it to a file.

Runs in its own process (`python -m gaze_vlm_ros.nodes.live_view FILE`), as a consumer like any planner.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from gaze_vlm_msgs.msg import ActionLabel, ActionPrediction, ModelInfo
from gaze_vlm_ros.bags.stamps import nanoseconds
from gaze_vlm_ros.labels.label_set import LabelSet
from gaze_vlm_ros.nodes.running import run_node
from gaze_vlm_ros.prediction.score import ReceivedPrediction, StartedAction, outcome_of, summarize
from gaze_vlm_ros.prediction.types import STATUS_NAMES

READY = "live view is ready"
# A label arrives after its action began, when newer predictions may have replaced the relevant one: keep a few seconds.
KEPT_PREDICTIONS = 200


class LiveView(Node):
    """Subscribes to `next_action`, `label` and `model_info`; writes `output` (JSON) when it closes."""

    def __init__(self, output: Path) -> None:
        super().__init__("live_view")
        self._output = output
        self._predictions: list[ReceivedPrediction] = []
        self._actions: list[StartedAction] = []
        self._labels = LabelSet((), (), ())  # that the model can answer
        self._right = 0
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.create_subscription(ModelInfo, "model_info", self._on_model, latched)
        reliable = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
        self.create_subscription(ActionPrediction, "next_action", self._on_prediction, reliable)
        self.create_subscription(ActionLabel, "label", self._on_label, QoSProfile(depth=100))
        print(READY, flush=True)

    def _on_model(self, message: ModelInfo) -> None:
        self._labels = LabelSet(tuple(message.labels), (), ())
        print(f"model {message.model_id}: {len(message.labels)} answers", flush=True)

    def _on_prediction(self, message: ActionPrediction) -> None:
        best = message.candidates[0] if message.candidates else None
        self._predictions.append(
            ReceivedPrediction(
                stamp_ns=nanoseconds(message.header.stamp),
                received_ns=self.get_clock().now().nanoseconds,
                valid_until_ns=nanoseconds(message.valid_until),
                status=message.status,
                answer=best.text if best else "",
                probability=best.probability if best else 0.0,
            )
        )

    def _on_label(self, message: ActionLabel) -> None:
        row = self._labels.row(message.text)
        if row < 0:
            return  # the model cannot give this answer
        action = StartedAction(nanoseconds(message.header.stamp), self._labels.texts[row])
        self._actions.append(action)
        outcome = outcome_of(action, self._predictions[-KEPT_PREDICTIONS:])
        self._right += outcome.correct
        if outcome.prediction is None:
            predicted = "(no valid prediction)"
        else:
            predicted = (
                f"{outcome.prediction.answer} {outcome.prediction.probability:.2f}, {outcome.lead_s:.2f} s before"
            )
        mark = "right" if outcome.correct else "WRONG"
        print(f"{predicted:<48} then: {action.text:<26} {mark}  ({self._right} of {len(self._actions)})", flush=True)

    def close(self) -> int:
        """Write the file. Return the exit code."""
        record = {
            "summary": summarize(self._predictions, self._actions, STATUS_NAMES),
            "predictions": [asdict(prediction) for prediction in self._predictions],
            "actions": [asdict(action) for action in self._actions],
        }
        self._output.write_text(json.dumps(record))
        return 0


def main() -> int:
    """Run the node with the file named on the command line."""
    output = Path(sys.argv[1])
    return run_node("live_view", lambda: LiveView(output))


if __name__ == "__main__":
    raise SystemExit(main())

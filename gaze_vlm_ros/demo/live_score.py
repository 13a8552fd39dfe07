"""Predictions beside what the person then did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

OK = 0  # ActionPrediction.STATUS_OK


@dataclass(frozen=True)
class ReceivedPrediction:
    """One prediction as a consumer saw it. Times in ns, ROS time."""

    stamp_ns: int  # of the last frame used
    received_ns: int  # when it reached the consumer
    valid_until_ns: int
    status: int  # ActionPrediction.STATUS_*
    answer: str  # the best candidate, empty where there is none
    probability: float


@dataclass(frozen=True)
class StartedAction:
    """An action that the person began."""

    start_ns: int
    text: str


@dataclass(frozen=True)
class Outcome:
    """The last prediction that a planner could have acted on before an action began, and that action."""

    action: StartedAction
    prediction: ReceivedPrediction | None  # None: no valid one had arrived

    @property
    def correct(self) -> bool:
        return self.prediction is not None and self.prediction.answer == self.action.text

    @property
    def lead_s(self) -> float:
        """How long before the action began the prediction was in the consumer's hands, s; NaN without one."""
        if self.prediction is None:
            return float("nan")
        return (self.action.start_ns - self.prediction.received_ns) / 1e9


def outcome_of(action: StartedAction, predictions: Sequence[ReceivedPrediction]) -> Outcome:
    """Pair `action` with the newest OK prediction that had arrived, and was still valid, when it began."""
    usable = [
        prediction
        for prediction in predictions
        if prediction.status == OK and prediction.received_ns < action.start_ns <= prediction.valid_until_ns
    ]
    return Outcome(action, max(usable, key=lambda prediction: prediction.stamp_ns, default=None))


def summarize(
    predictions: Sequence[ReceivedPrediction], actions: Sequence[StartedAction], status_names: Sequence[str]
) -> dict[str, Any]:
    """Figures of one live run, ready for JSON.

    Latency is from the acquisition of the last frame used to the first arrival of its answer: heartbeats that repeat an
    answer do not count. Accuracy is over all actions; one without a valid prediction counts as wrong.
    """
    outcomes = [outcome_of(action, predictions) for action in actions]
    first_arrivals_ns: dict[int, int] = {}
    for prediction in predictions:
        if prediction.answer:
            first_arrivals_ns.setdefault(prediction.stamp_ns, prediction.received_ns)
    latencies_ms = [(received_ns - stamp_ns) / 1e6 for stamp_ns, received_ns in first_arrivals_ns.items()]
    statuses = [prediction.status for prediction in predictions]
    answered = [outcome for outcome in outcomes if outcome.prediction is not None]
    return {
        "predictions": len(predictions),
        "answered_frames": len(latencies_ms),
        "status_counts": {name: statuses.count(number) for number, name in enumerate(status_names)},
        "latency_ms": {
            f"p{percent}": float(np.percentile(latencies_ms, percent)) if latencies_ms else None for percent in (50, 95)
        },
        "actions": len(outcomes),
        "actions_with_valid_prediction": len(answered),
        "accuracy": sum(outcome.correct for outcome in outcomes) / len(outcomes) if outcomes else None,
        "median_lead_s": float(np.median([outcome.lead_s for outcome in answered])) if answered else None,
    }

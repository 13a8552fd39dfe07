"""Predictions for a played bag, as the bag player writes them into a bag of their own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.bags.stamps import duration_s, nanoseconds
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.prediction.checkpoint import SCORE_KINDS
from gaze_vlm_ros.prediction.score import ReceivedPrediction

PREDICTIONS, MODEL = "/next_action", "/model_info"  # one message per query; at most one message


class NothingSaid(GazeVlmError):
    """The bag holds no prediction."""


class NotTheNextAction(GazeVlmError):
    """The model names the current action, which is not scored here."""


@dataclass(frozen=True)
class Published:
    """Predictions in the order of the frames, one per query."""

    moments: list[ReceivedPrediction]
    horizon_s: float
    model_id: str
    labels: tuple[str, ...]  # possible answers; empty = open answers
    score_kind: str
    no_answer: dict[str, int]  # reasons for queries without an answer, and how often


def read_published(bag_path: Path) -> Published:
    """Read the bag that the player wrote. Raises NothingSaid where it is empty, and NotTheNextAction."""
    with open_bag(bag_path) as bag:
        predictions, models = bag.read(PREDICTIONS), bag.read(MODEL)
        received_ns, messages = predictions.arrivals_ns, list(predictions.messages())
        info = models.message(0) if models else None
    if not messages:
        raise NothingSaid("the predictor was never queried: no frame of the bag could be shown")
    if any(message.current_action for message in messages):
        raise NotTheNextAction(
            f"{messages[0].model_id} names the current action (task: current), but replay scores the next one; "
            "give a checkpoint that was trained with task: future"
        )
    no_answer: Counter[str] = Counter()
    for message in messages:
        if not message.candidates:
            no_answer[message.status_text] += 1
    moments = [
        ReceivedPrediction(
            stamp_ns=nanoseconds(message.header.stamp),
            received_ns=int(at_ns),
            valid_until_ns=nanoseconds(message.valid_until),
            status=int(message.status),
            answer=message.candidates[0].text if message.candidates else "",
            probability=float(message.candidates[0].probability) if message.candidates else 0.0,
        )
        for message, at_ns in zip(messages, received_ns, strict=True)
    ]
    return Published(
        sorted(moments, key=lambda moment: moment.stamp_ns),
        duration_s(messages[0].horizon),
        messages[0].model_id,
        tuple(info.labels) if info else (),
        SCORE_KINDS[messages[0].score_kind],
        dict(no_answer),
    )

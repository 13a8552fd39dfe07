"""Predictions for a played bag, as the bag player writes them into a bag of their own."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
class PublishedBelief:
    """What one message says about what begins and when, over all A labels of the model."""

    table: NDArray[np.float64]  # (A, K) P(action, part of the horizon); 0 where the message leaves a candidate out
    nothing: float  # P(nothing begins within the horizon)
    expected_s: NDArray[np.float64]  # (A,) time until each action begins; half the horizon where it is left out


@dataclass(frozen=True)
class PublishedNow:
    """What one message says about what goes on now, over all A labels of the model."""

    probabilities: NDArray[np.float64]  # (A,) 0 where the message leaves a candidate out
    nothing: float  # P(no action goes on)


@dataclass(frozen=True)
class Published:
    """Predictions in the order of the frames, one per query."""

    moments: list[ReceivedPrediction]
    beliefs: list[PublishedBelief | None]  # one per moment; None = it does not say when
    horizon_s: float
    model_id: str
    labels: tuple[str, ...]  # possible answers; empty = open answers
    score_kind: str
    no_answer: dict[str, int]  # reasons for queries without an answer, and how often
    now: list[PublishedNow | None]  # one per moment; None = it does not say what goes on now


def read_published(bag_path: Path) -> Published:
    """Read the bag that the player wrote. Raises NothingSaid where it is empty, and NotTheNextAction."""
    with open_bag(bag_path) as bag:
        predictions, models = bag.read(PREDICTIONS), bag.read(MODEL)
        received_ns, messages = predictions.arrivals_ns, list(predictions.messages())
        info = models.message(0) if models else None
    if not messages:
        raise NothingSaid("the predictor was never queried: no frame of the bag could be shown")
    if any(map(is_only_current, messages)):
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
    labels, horizon_s = tuple(info.labels) if info else (), duration_s(messages[0].horizon)
    beliefs = [_belief(message, labels, horizon_s) for message in messages]
    now = [_now(message, labels) for message in messages]
    order = sorted(range(len(moments)), key=lambda number: moments[number].stamp_ns)
    return Published(
        [moments[number] for number in order],
        [beliefs[number] for number in order],
        horizon_s,
        messages[0].model_id,
        labels,
        SCORE_KINDS[messages[0].score_kind],
        dict(no_answer),
        [now[number] for number in order],
    )


def is_only_current(message: Any) -> bool:
    """Whether the candidates are of what goes on now: a second question has candidates of its own."""
    says_nothing = math.isfinite(getattr(message, "current_nothing_probability", math.nan))
    return bool(message.current_action or says_nothing) and not getattr(message, "current_candidates", ())


def _now(message: Any, labels: tuple[str, ...]) -> PublishedNow | None:
    """Return what a message says of what goes on now; None where it says nothing, or its candidates are not labels."""
    candidates = [c for c in getattr(message, "current_candidates", ()) if c.text in labels]
    if not candidates:
        return None
    probabilities = np.zeros(len(labels))
    for candidate in candidates:
        probabilities[labels.index(candidate.text)] = candidate.probability
    return PublishedNow(probabilities, float(message.current_nothing_probability))


def _belief(message: Any, labels: tuple[str, ...], horizon_s: float) -> PublishedBelief | None:
    """Return what a message says; None where it says not when actions begin, or its candidates are not labels."""
    candidates = [c for c in message.candidates if len(getattr(c, "part_probabilities", ())) and c.text in labels]
    if not candidates:
        return None
    table = np.zeros((len(labels), len(candidates[0].part_probabilities)))
    expected_s = np.full(len(labels), horizon_s / 2)
    for candidate in candidates:
        row = labels.index(candidate.text)
        table[row], expected_s[row] = candidate.part_probabilities, duration_s(candidate.time_to_start)
    return PublishedBelief(table, float(message.nothing_probability), expected_s)

"""Score predictions against what the person then did. docs/replaying.md has the definitions and their sources."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.labels.track import next_label
from gaze_vlm_ros.prediction.calibration import calibration_error, reliability
from gaze_vlm_ros.prediction.types import WITH_CANDIDATES, Status

# A person's reach, the anticipation time of EPIC-KITCHENS, the time of a robot's arm movement, and a long look ahead.
HORIZONS_S = (0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True)
class ReceivedPrediction:
    """One prediction as a consumer received it. Times in ns, ROS time."""

    stamp_ns: int  # of the last frame used
    received_ns: int  # when it reached the consumer
    valid_until_ns: int
    status: int  # one of types.Status
    answer: str  # the best candidate; empty = none
    probability: float


@dataclass(frozen=True)
class StartedAction:
    """An action that the person began; start_ns in ROS time."""

    start_ns: int
    text: str


@dataclass(frozen=True)
class Outcome:
    """An action, and the last prediction that a planner could have acted on before it began."""

    action: StartedAction
    prediction: ReceivedPrediction | None  # None = no valid one had arrived

    @property
    def correct(self) -> bool:
        """Whether the prediction named the action."""
        return self.prediction is not None and self.prediction.answer == self.action.text

    @property
    def lead_s(self) -> float:
        """Time from the arrival of the prediction to the begin of the action, s; NaN without a prediction."""
        if self.prediction is None:
            return float("nan")
        return (self.action.start_ns - self.prediction.received_ns) / 1e9


def outcome_of(action: StartedAction, predictions: Sequence[ReceivedPrediction]) -> Outcome:
    """Pair an action with the newest OK prediction that had arrived and was still valid when the action began."""
    usable = [
        prediction
        for prediction in predictions
        if prediction.status == Status.OK and prediction.received_ns < action.start_ns <= prediction.valid_until_ns
    ]
    return Outcome(action, max(usable, key=lambda prediction: prediction.stamp_ns, default=None))


def summarize(
    predictions: Sequence[ReceivedPrediction], actions: Sequence[StartedAction], status_names: Sequence[str]
) -> dict[str, Any]:
    """Score one live run; the result is ready for JSON.

    Latency is the time from the acquisition of the last frame used to the first arrival of its answer: heartbeats that
    repeat an answer do not count. Accuracy is over all actions; one without a valid prediction counts as wrong.
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


@dataclass(frozen=True)
class HorizonScore:
    """Scores at one anticipation horizon. None where there is nothing to count."""

    horizon_s: float
    moments: int  # number of moments, answered or not, with an action that begins within the horizon
    recall: float | None  # share of these moments whose OK answer is the first such action
    class_mean_recall: float | None  # the same for each action, then averaged over actions
    most_frequent: float | None  # recall of always answering the most frequent action
    actions: int  # number of actions before which no other began for the horizon
    anticipated: float | None  # share of these actions whose right answer came that early and stayed


@dataclass(frozen=True)
class Anticipation:
    """How early the right answer to one action came to stay."""

    action: StartedAction
    time_s: float  # from the last frame of its first message to the begin of the action; 0 = not anticipated
    at_most_s: float  # upper limit: since the previous action began, or since the first message


def next_texts(stamps_ns: Sequence[int], actions: Sequence[StartedAction], horizon_s: float) -> list[str]:
    """For each stamp, the text of the first action that begins in (stamp, stamp + horizon]; empty = none.

    An action that begins at the stamp itself has begun and is not anticipated. actions: in the order of their begin.
    """
    starts_ns, texts = np.array([action.start_ns for action in actions], np.int64), [action.text for action in actions]
    rows = [next_label(starts_ns, texts, stamp_ns, horizon_s) for stamp_ns in stamps_ns]
    return [texts[row] if row >= 0 else "" for row in rows]


def anticipations(moments: Sequence[ReceivedPrediction], actions: Sequence[StartedAction]) -> list[Anticipation]:
    """For each action that begins after the first moment: since when OK answers named it without a break.

    An answer that expired before the frame of the next answer, or before the action began, is a break. Answers before
    the previous action began do not count: another action was next then.
    moments, actions: each in the order of their stamps.
    """
    found = []
    stamps_ns = [moment.stamp_ns for moment in moments]
    before_ns = stamps_ns[0] if moments else 0
    for action in actions:
        from_ns, before_ns = before_ns, max(before_ns, action.start_ns)
        if action.start_ns <= from_ns:
            continue
        since_ns = action.start_ns
        own = moments[bisect_left(stamps_ns, from_ns) : bisect_left(stamps_ns, action.start_ns)]
        for moment in reversed(own):
            if moment.status != Status.OK or moment.answer != action.text or moment.valid_until_ns < since_ns:
                break
            since_ns = moment.stamp_ns
        found.append(Anticipation(action, (action.start_ns - since_ns) / 1e9, (action.start_ns - from_ns) / 1e9))
    return found


def horizon_score(
    moments: Sequence[ReceivedPrediction],
    actions: Sequence[StartedAction],
    found: Sequence[Anticipation],
    horizon_s: float,
) -> HorizonScore:
    """Score the moments at one horizon. found: result of `anticipations` for the same moments and actions."""
    following = next_texts([moment.stamp_ns for moment in moments], actions, horizon_s)
    due = [(moment, text) for moment, text in zip(moments, following, strict=True) if text]
    hits: dict[str, list[bool]] = {}
    for moment, text in due:
        hits.setdefault(text, []).append(moment.status == Status.OK and moment.answer == text)
    had_time = [each.time_s >= horizon_s for each in found if each.at_most_s >= horizon_s]
    return HorizonScore(
        horizon_s,
        len(due),
        sum(map(sum, hits.values())) / len(due) if due else None,
        float(np.mean([np.mean(each) for each in hits.values()])) if due else None,
        max(map(len, hits.values())) / len(due) if due else None,
        len(had_time),
        sum(had_time) / len(had_time) if had_time else None,
    )


def selective_curve(
    confidences: NDArray[np.float64], hits: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return (thresholds, coverage, precision), thresholds descending; (T,) each.

    Coverage is the share of answers that reach the threshold, precision the share of those that are right. This is the
    risk-coverage curve of selective prediction (El-Yaniv and Wiener 2010), with precision = 1 - risk.
    confidences, hits: (N,).
    """
    order = np.argsort(-confidences, kind="stable")
    ranked = confidences[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.empty(0, np.int64)
    taken = last + 1  # including all ties
    return ranked[last], taken / max(1, len(ranked)), np.cumsum(hits[order])[last] / taken


def score(
    moments: Sequence[ReceivedPrediction], actions: Sequence[StartedAction], horizon_s: float, end_ns: int
) -> dict[str, Any]:
    """Score one recording; the result is ready for JSON, with None where there is nothing to count.

    moments: one per query of the model, answered or not, in the order of their stamps. actions: all that began, in
    order. horizon_s: within which the predictor expects the action to begin. end_ns: end of the recording.
    """
    first_ns, last_ns = moments[0].stamp_ns, moments[-1].stamp_ns
    minutes = (last_ns - first_ns) / 60e9
    begun = [a for a in actions if first_ns < a.start_ns <= last_ns + round(horizon_s * 1e9)]
    found = anticipations(moments, begun)
    answered = [moment for moment in moments if moment.status in WITH_CANDIDATES]
    truths = next_texts([moment.stamp_ns for moment in answered], actions, horizon_s)
    # If the recording ends before the horizon, what was about to begin is unknown.
    known = [
        (moment, truth)
        for moment, truth in zip(answered, truths, strict=True)
        if truth or moment.stamp_ns + round(horizon_s * 1e9) <= end_ns
    ]
    confidences = np.array([moment.probability for moment, _ in known])
    hits = np.array([moment.answer == truth for moment, truth in known], dtype=bool)
    is_ok = np.array([moment.status == Status.OK for moment, _ in known], dtype=bool)
    nothing = sum(not truth for moment, truth in known if moment.status == Status.OK)
    ok_answers = [moment.answer for moment in answered if moment.status == Status.OK]
    times_s, ages_s = [each.time_s for each in found], [(m.received_ns - m.stamp_ns) / 1e9 for m in answered]
    thresholds, coverage, precision = selective_curve(confidences, hits)
    confidence, accuracy, count = reliability(confidences, hits)
    return {
        "moments": len(moments),
        "minutes": minutes,
        "actions": len(begun),
        "action_counts": dict(Counter(action.text for action in begun)),
        "horizon_s": horizon_s,
        "horizons": [vars(horizon_score(moments, actions, found, each_s)) for each_s in HORIZONS_S],
        "precision": {
            "value": float(hits[is_ok].mean()) if is_ok.any() else None,
            "answers": int(is_ok.sum()),
            "nothing_began": nothing,
            "coverage": float(is_ok.mean()) if len(is_ok) else None,
            "unknown": len(answered) - len(known),
        },
        "selective_curve": {
            "threshold": thresholds.tolist(), "coverage": coverage.tolist(), "precision": precision.tolist(),
        },
        "anticipation": {
            "share": float(np.mean(np.array(times_s) > 0)) if times_s else None,
            "median_s": float(np.median(times_s)) if times_s else None,
            "actions": [
                {"start_ns": a.action.start_ns, "text": a.action.text, "time_s": a.time_s, "at_most_s": a.at_most_s}
                for a in found
            ],
        },
        "flips_per_minute": sum(a != b for a, b in itertools.pairwise(ok_answers)) / minutes if minutes else None,
        "actions_per_minute": len(begun) / minutes if minutes else None,
        "calibration": {
            "error": calibration_error(confidences, hits) if len(hits) else None,
            "mean_probability": float(confidences.mean()) if len(hits) else None,
            "share_right": float(hits.mean()) if len(hits) else None,
            "confidence": [float(v) if n else None for v, n in zip(confidence, count, strict=True)],
            "accuracy": [float(v) if n else None for v, n in zip(accuracy, count, strict=True)],
            "count": count.tolist(),
        },
        "evidence_age_s": {
            f"p{percent}": float(np.percentile(ages_s, percent)) if ages_s else None for percent in (50, 95, 99)
        },
    }  # fmt: skip

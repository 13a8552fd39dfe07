"""Scores of answers to what goes on now, at all moments of some sessions. Pure NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gaze_vlm_ros.labels.answer_words import NOTHING
from gaze_vlm_ros.prediction.believed_stream import Floats, Ints
from gaze_vlm_ros.prediction.calibration import calibration_error
from gaze_vlm_ros.prediction.score_text import score_table
from gaze_vlm_ros.prediction.stream_scores import LEAST_PROBABILITY, average_precision, person_interval
from gaze_vlm_ros.storage.json_values import json_ready


@dataclass(frozen=True)
class NowStream:
    """What was answered at M moments of S sessions, and what was true. All probabilities of a moment sum to 1."""

    session: Ints  # (M,) session of each moment, 0 to S - 1
    table: Floats  # (M, A) P(action goes on)
    nothing: Floats  # (M,) P(no action goes on)
    action: Ints  # (M,) the action that goes on; NOTHING = none
    persons: tuple[str, ...]  # (S,) who was recorded; any name


def now_of_sessions(now: NowStream, sessions: Ints) -> NowStream:
    """Return the moments of some sessions, which keep their numbers."""
    rows = np.isin(now.session, sessions)
    return NowStream(now.session[rows], now.table[rows], now.nothing[rows], now.action[rows], now.persons)


def score_now(now: NowStream, draws: int = 200) -> dict[str, Any]:
    """Return all scores, ready for JSON; None where there is nothing to count.

    `mean_average_precision` is the per-frame one of online action detection (De Geest et al. 2016): of each action that
    occurs, the average precision of all moments ranked by its probability, and the mean of these; nothing is no class.
    draws: resamples of each interval, which are by person.
    """
    everything = np.column_stack([now.table, now.nothing])
    nothing = now.table.shape[1]
    truth = np.where(now.action == NOTHING, nothing, now.action)
    confidence, hits = everything.max(axis=1), everything.argmax(axis=1) == truth
    losses = -np.log(np.maximum(everything[np.arange(len(truth)), truth], LEAST_PROBABILITY))

    def rows_of(sessions: Ints) -> Ints:
        return np.concatenate([np.flatnonzero(now.session == number) for number in sessions])

    def mean_average_precision(sessions: Ints) -> float:
        rows = rows_of(sessions)
        of_rows = now.action[rows]
        found = [
            average_precision(now.table[rows, action], of_rows == action, int((of_rows == action).sum()))
            for action in np.unique(of_rows[of_rows != NOTHING]).tolist()
        ]
        return float(np.mean(found)) if found else float("nan")

    primary: dict[str, Callable[[Ints], float]] = {
        "accuracy": lambda sessions: float(hits[rows_of(sessions)].mean()),
        "mean_average_precision": mean_average_precision,
        "negative_log_likelihood": lambda sessions: float(losses[rows_of(sessions)].mean()),
    }
    present = np.unique(now.session)
    if not len(present):
        return {"moments": 0} | dict.fromkeys(primary)
    recalls = [float(hits[truth == answer].mean()) for answer in np.unique(truth)]
    figures: dict[str, float] = {name: statistic(present) for name, statistic in primary.items()}
    figures |= {
        "class_mean_recall": float(np.mean(recalls)),
        "most_frequent": float(np.bincount(truth).max() / len(truth)),
        "nothing_share": float((truth == nothing).mean()),
        "calibration_error": calibration_error(confidence, hits),
    }
    intervals = {name: person_interval(now.persons, present, value, draws) for name, value in primary.items()}
    plain: dict[str, Any] = json_ready(
        {
            "moments": len(truth),
            "persons": len({now.persons[number] for number in present}),
            **figures,
            "intervals": intervals,
        }
    )
    return plain


def now_table(rows: dict[str, dict[str, Any]]) -> str:
    """Return the main scores of several streams as text, one row each."""
    columns = {
        "accuracy": "accuracy", "most_frequent": "most frequent", "class_mean_recall": "class mean",
        "mean_average_precision": "mAP", "negative_log_likelihood": "NLL", "calibration_error": "calib.",
        "nothing_share": "nothing", "moments": "moments",
    }  # fmt: skip
    cells = {name: [scores.get(key) for key in columns] for name, scores in rows.items()}
    return score_table("now", list(columns.values()), cells)

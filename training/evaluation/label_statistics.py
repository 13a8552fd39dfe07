"""Statistics from labels: how often no answer of the set is right, and the mean time until each action starts.

Windows are cut where `leads_s` says, mostly just before actions, but the predictor answers at any moment. So these
figures come from a regular grid of moments between the first and the last label of each session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.labels.label_set import LabelSet
from gaze_vlm_ros.labels.track import LabelTrack

GRID_S = 0.1  # between moments; far shorter than actions


@dataclass(frozen=True)
class Moments:
    """M moments of some sessions."""

    answers: NDArray[np.int64]  # (M,) index of the true answer in the label set; -1 = none of them
    to_start_s: NDArray[np.float64]  # (M,) time until that action starts, s; NaN if there is none, or it has started


def moments(tracks: Sequence[LabelTrack], labels: LabelSet, task: str, horizon_s: float) -> Moments:
    """Return the moments of the grid. labels: the closed set. task, horizon_s: as in training.settings."""
    answers, to_start = [np.empty(0, np.int64)], [np.empty(0)]
    for track in tracks:
        starts_ns = np.asarray(track.starts_ns, dtype=np.int64)
        if len(starts_ns) < 2:
            continue  # there is no time between the first and the last label
        at_ns = np.arange(starts_ns[0], starts_ns[-1], round(GRID_S * 1e9))
        if task == "future":  # skip empty texts, as labels.next_label does
            starts_ns = starts_ns[[bool(text) for text in track.texts]]
            named = np.array([labels.row(text) for text in track.texts if text], dtype=np.int64)
            row = np.searchsorted(starts_ns, at_ns, side="right")
            wait_s = np.append(starts_ns, np.iinfo(np.int64).max)[row] / 1e9 - at_ns / 1e9
            answer = np.where(wait_s <= horizon_s, np.append(named, -1)[row], -1)
            to_start.append(np.where(answer >= 0, wait_s, np.nan))
        else:
            named = np.array([labels.row(text) for text in track.texts], dtype=np.int64)
            answer = named[np.searchsorted(starts_ns, at_ns, side="right") - 1]
            to_start.append(np.full(len(at_ns), np.nan))
        answers.append(answer)
    return Moments(np.concatenate(answers), np.concatenate(to_start))


def other_share(found: Moments) -> float | None:
    """Return the share of moments at which no answer of the set is right; None without any moment."""
    return float((found.answers < 0).mean()) if len(found.answers) else None


def mean_time_to_start(found: Moments, answers: int) -> tuple[float, ...]:
    """Return the mean time until each action starts, s, over the moments at which it is the right answer.

    answers: number of labels. A label without such a moment gets the mean of all; empty if no moment has a time.
    """
    timed = np.isfinite(found.to_start_s)
    if not timed.any():
        return ()
    of_all = found.to_start_s[timed].mean()
    means = [found.to_start_s[timed & (found.answers == answer)] for answer in range(answers)]
    return tuple(round(float(times.mean() if len(times) else of_all), 3) for times in means)


def time_to_start_error(found: Moments, expected_s: Sequence[float]) -> float | None:
    """Return the mean absolute error of `expected_s` (per label) for the right answers, s; None without a time."""
    timed = np.isfinite(found.to_start_s)
    if not timed.any() or not expected_s:
        return None
    return float(np.abs(found.to_start_s[timed] - np.asarray(expected_s)[found.answers[timed]]).mean())

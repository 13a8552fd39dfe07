"""Calibrate a model of the stream on sessions that did not train it: temperature, filter, operating points."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.prediction.belief import BeliefModel, filtered, fit_belief, tuned
from gaze_vlm_ros.prediction.believed_stream import BelievedStream, of_sessions
from gaze_vlm_ros.prediction.operating_points import OperatingPoint, crossfitted, operating_point
from gaze_vlm_ros.prediction.stream_metadata import StreamMetadata
from gaze_vlm_ros.prediction.stream_scores import joint_losses
from training.data.dataset import Dataset
from training.evaluation import metrics
from training.evaluation.stream_evaluation import begun_actions, believed_stream, rank_stream
from training.settings import Settings

# Target precisions of thresholds. Higher ones need more calibration sessions than people record.
PRECISIONS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
FOLDS = 5  # groups of persons for whom filter and thresholds are chosen on the others


def calibrate_stream(
    model: Any,
    data: Dataset,
    training: NDArray[np.int64],
    calibration: NDArray[np.int64],
    settings: Settings,
    device: str,
) -> tuple[StreamMetadata, float]:
    """Return the metadata of the stream, and the temperature; uncalibrated without windows to calibrate on.

    training: rows of the windows of the stream that trained the weights, whose labels give the filter's parameters.
    calibration: rows of whole sessions, in their order.
    """
    stream = data.stream
    assert stream is not None
    metadata = StreamMetadata(stream.words.when, stream.words.nothing)
    if not len(calibration):
        return metadata, 1.0
    scores = rank_stream(model, data, calibration, device, settings.batch_size)
    known = ~stream.censored[calibration]
    temperature = metrics.fit_temperature(scores[known], data.answer_index[calibration][known]) if known.any() else 1.0
    believed = believed_stream(data, calibration, scores, temperature)
    losses = {"single": float(joint_losses(believed).mean())}
    sessions = sorted({data.windows[row].session for row in training})
    begun = [begun_actions(data.sessions[number], data.labels) for number in sessions]
    starts = [([start_ns / 1e9 for start_ns, _ in one], [action for _, action in one]) for one in begun]
    table, nothing = stream.shares(training, len(data.labels.texts))
    untuned = fit_belief(starts, table, nothing, stream.horizon_s)
    belief, single = None, believed
    if untuned is not None:
        belief, losses["over_time"] = tuned(untuned, single)
        if losses["over_time"] < losses["single"]:
            believed = filtered(single, belief)
        else:
            belief = untuned = None
    folds, persons = person_folds(single, untuned)
    found = [operating_point(believed, precision) for precision in PRECISIONS]
    points = tuple(_rounded(crossfitted(point, folds, persons) if folds else point) for point in found)
    rounded = {name: round(loss, 4) for name, loss in losses.items()}
    return StreamMetadata(stream.words.when, stream.words.nothing, belief, points, rounded), temperature


def person_folds(
    single: BelievedStream, untuned: BeliefModel | None
) -> tuple[list[tuple[BelievedStream, BelievedStream]], int]:
    """Return operating_points.crossfitted's folds for the persons of a calibration stream, and how many they are.

    There are at most FOLDS, of whole persons; none for a single person. untuned: the filter without what it chooses on
    calibration sessions; None = answers are not filtered.
    """
    numbers = np.unique(single.session)
    who = np.array([single.persons[number] for number in numbers])
    persons, folds = np.unique(who), []
    for first in range(min(FOLDS, len(persons))) if len(persons) > 1 else ():
        is_own = np.isin(who, persons[first::FOLDS])
        chosen_on, left_out = of_sessions(single, numbers[~is_own]), of_sessions(single, numbers[is_own])
        if untuned is not None:
            belief, _ = tuned(untuned, chosen_on)
            chosen_on, left_out = filtered(chosen_on, belief), filtered(left_out, belief)
        folds.append((chosen_on, left_out))
    return folds, len(persons)


def _rounded(point: OperatingPoint) -> OperatingPoint:
    """Round thresholds down, so that an answer exactly at one passes."""
    return replace(
        point,
        begin=math.floor(point.begin * 1e4) / 1e4,
        keep=math.floor(point.keep * 1e4) / 1e4,
        precision=round(point.precision, 4),
        recall=round(point.recall, 4),
        certified_share=round(point.certified_share, 4),
    )

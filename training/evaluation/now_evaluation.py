"""What a model answers to the question what goes on now, at all moments of some sessions: calibrated, and scored."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from gaze_vlm_ros.labels.answer_words import NOTHING
from gaze_vlm_ros.prediction.now_scores import NowStream
from gaze_vlm_ros.prediction.stream_metadata import NowMetadata
from training.data.dataset import Dataset
from training.data.gaze_prompt import now_question
from training.evaluation import metrics
from training.evaluation.stream_evaluation import rank_stream
from training.settings import Settings


def calibrate_now(
    model: Any, data: Dataset, calibration: NDArray[np.int64], settings: Settings, device: str
) -> NowMetadata:
    """Return the metadata of the question what goes on now; uncalibrated without windows whose answer is known.

    data: asks_now. calibration: rows of its windows.
    """
    asked = now_question(settings)
    rows = calibration[data.answer_index[calibration] >= 0]
    if not len(rows):
        return NowMetadata(asked, settings.now_nothing_words)
    scores = rank_stream(model, data, rows, device, settings.batch_size)
    temperature = metrics.fit_temperature(scores, data.answer_index[rows])
    return NowMetadata(asked, settings.now_nothing_words, round(temperature, 4), len(rows))


def now_stream(model: Any, data: Dataset, now: NowMetadata, settings: Settings, device: str) -> NowStream | None:
    """Return the answers to all moments whose truth is known; None without any. data: asks_now."""
    rows = np.flatnonzero(data.answer_index >= 0)
    if not len(rows):
        return None
    ranked = rank_stream(model, data, rows, device, settings.batch_size)
    probabilities = softmax(ranked / now.temperature, axis=1)
    truth = data.answer_index[rows]
    return NowStream(
        np.array([data.windows[row].session for row in rows.tolist()], np.int64),
        probabilities[:, :-1],
        probabilities[:, -1],
        np.where(truth == len(data.labels.texts), NOTHING, truth),
        tuple(recording.person or recording.name for recording in data.sessions),
    )

"""An answer in the model's own words: what it says, when, or that nothing begins."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gaze_vlm_ros.labels.answer_words import NOTHING
from gaze_vlm_ros.prediction.checkpoint import CheckpointMetadata
from gaze_vlm_ros.prediction.stream_metadata import NowMetadata
from gaze_vlm_ros.prediction.types import Answer, FrameAttention, NowAnswer


def open_answer(
    metadata: CheckpointMetadata,
    text: str,
    probability: float,
    attention: FrameAttention | None = None,
    stages: Mapping[str, float] | None = None,
) -> Answer:
    """Return one generated text with the probability of all its tokens; all other texts share the rest.

    The words of a checkpoint of the stream are read: a part of the horizon becomes the time of its middle.
    """
    starts_s, nothing = None, None
    if stream := metadata.stream:
        text, part = stream.words.read(text)
        if part != NOTHING:
            starts_s = np.array([(part + 0.5) / stream.words.parts * metadata.horizon_s])
        if not text:
            nothing, probability = probability, 0.0
    return Answer(
        (text,),
        np.array([probability]),
        metadata.score_kind,
        other_probability=1.0 - probability - (nothing or 0.0),
        time_to_start_s=starts_s,
        focus=attention.focus if attention else (float("nan"), float("nan")),
        attention=attention,
        nothing_probability=nothing,
        stages=stages or {},
    )


def open_now_answer(second: NowMetadata, text: str, probability: float) -> NowAnswer:
    """Return one generated text as the answer to what goes on now; all other texts share the rest."""
    if text == second.nothing_words:
        return NowAnswer((), np.empty(0), probability, 1.0 - probability)
    return NowAnswer((text,), np.array([probability]), 0.0, 1.0 - probability)

"""Evaluate a checkpoint on sessions that it has never seen."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.labels.answer_words import NOTHING
from gaze_vlm_ros.labels.label_set import LabelSet
from gaze_vlm_ros.prediction.answers_over_time import chosen_point, point_text
from gaze_vlm_ros.prediction.belief import filtered
from gaze_vlm_ros.prediction.believed_stream import of_sessions
from gaze_vlm_ros.prediction.checkpoint import CheckpointMetadata, read_checkpoint_metadata
from gaze_vlm_ros.prediction.now_scores import now_of_sessions, score_now
from gaze_vlm_ros.prediction.stream_metadata import StreamMetadata
from gaze_vlm_ros.prediction.stream_scores import score_stream
from gaze_vlm_ros.vlm.embeddings import Embed, load_embedder
from gaze_vlm_ros.vlm.loading import load_vlm
from gaze_vlm_ros.windows.cutting import NoWindows
from training.data.action_split import part_of_split
from training.data.dataset import Dataset, evenly_spread
from training.data.preparation import prepare
from training.data.recordings import Recording, find_bags, load_recordings
from training.data.split import split_sessions
from training.evaluation.answers import answer_windows
from training.evaluation.now_evaluation import now_stream
from training.evaluation.scores import score
from training.evaluation.stream_evaluation import believed_stream, of_actions, rank_stream, timelines
from training.model.device import resolve_device
from training.model.gaze_block import load_gaze_block
from training.settings import SETTINGS_FILE, Settings, load_settings

# Windows of a stream at most, evenly spread over those before which an action begins, on which attention and freely
# generated answers are measured
ANSWERED = 300

# Attention is scored against where the person looked, whatever supervised training.
TRUE_GAZE: dict[str, Any] = {"gaze": "real", "gaze_file": "", "gaze_error": 0.0, "gaze_shift_s": 0.0}


class TrainedOn(GazeVlmError):
    """A session given for evaluation was trained on."""


def evaluate_checkpoint(
    checkpoint: Path,
    bags: Sequence[str | Path],
    *,
    device: str = "auto",
    cache: Path | None = None,
    examples: int = 0,
    embedding_model: str = "",
    protocol: str = "",
    unknown: str = "wrong",
    other_settings: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return all scores of a checkpoint on `bags`, see scores.score.

    device: auto, cpu, cuda or cuda:N. cache: folder of prepared windows; None = a temporary one.
    examples: windows of each scene to return in full.
    embedding_model: folder or hub name for the semantic score of generated answers; "" = no such score.
    protocol: see training.settings; "" = that of the checkpoint. unknown: what becomes of windows whose answer is not
        in the label set: wrong = they count as wrong, left-out = they do not count.
    other_settings: those of the fit that differ for these bags, such as camera_topic.
    Raises TrainedOn for a session that trained or chose the checkpoint, and what loading raises.
    """
    metadata = read_checkpoint_metadata(checkpoint)
    embed = load_embedder(embedding_model) if embedding_model else None
    settings = replace(load_settings(checkpoint / SETTINGS_FILE), **TRUE_GAZE, **other_settings)
    settings = replace(settings, protocol=protocol or settings.protocol)
    if settings.is_stream:
        settings = replace(settings, leads_s=())  # they only add windows to train on
    sessions = load_recordings(find_bags(bags), settings)
    sessions, leak = part_of_split(sessions, settings.split_file, "test")
    if leak:
        print(f"warning: {leak}", file=sys.stderr, flush=True)
    for session in sessions:
        if session.digest in metadata.trained_on and not settings.split_file:
            raise TrainedOn(f"{session.path} was trained on (or chose the checkpoint); evaluate on other sessions")

    device = resolve_device(device)
    model, processor, data = load_with_windows(
        checkpoint, metadata, settings, sessions, device, cache, keep_unknown=unknown == "wrong"
    )
    if metadata.stream and data.stream:
        scores = _evaluate_stream(metadata, metadata.stream, data, model, processor, settings, device, examples, embed)
    elif data.asks_now:
        scores = _evaluate_actions(metadata, data, model, processor, settings, device, examples, embed)
    else:
        answers = answer_windows(model, processor, data, settings, device)
        return score(metadata, data, answers, settings, examples, embed) | {"leak": leak}
    asked = data if data.asks_now else data.now
    now = now_stream(model, asked, metadata.now, settings, device) if asked and metadata.now else None
    if now is not None:
        scores["now"] = {name: score_now(now_of_sessions(now, numbers)) for name, numbers in _scenes(data).items()}
    return scores


def training_top1(
    checkpoint: Path, bags: Sequence[str | Path], device: str = "auto", cache: Path | None = None
) -> float:
    """Return the share of windows answered right among at most ANSWERED that trained the checkpoint, evenly spread.

    Beside the same figure on test sessions it says what was learned and does not carry over. bags: those of the fit,
    divided again by the checkpoint's settings. Of a stream, windows before which an action begins are scored.
    """
    metadata = read_checkpoint_metadata(checkpoint)
    settings = replace(load_settings(checkpoint / SETTINGS_FILE), **TRUE_GAZE)
    recordings = load_recordings(find_bags(bags), settings)
    recordings, _ = part_of_split(recordings, settings.split_file, "train")
    trained = [recordings[index] for index in split_sessions(recordings, settings).training]
    device = resolve_device(device)
    model, _, data = load_with_windows(checkpoint, metadata, settings, trained, device, cache)
    truth = data.stream.actions if data.stream else data.answer_index
    rows = evenly_spread(np.flatnonzero(truth >= 0), ANSWERED)
    ranked = rank_stream(model, data, rows, device, settings.batch_size)
    if data.stream and metadata.stream:
        ranked = of_actions(ranked, metadata.stream.words, metadata.temperature)
    return float((ranked.argmax(axis=1) == truth[rows]).mean())


def load_with_windows(
    checkpoint: Path, metadata: CheckpointMetadata, settings: Settings, sessions: Sequence[Recording], device: str,
    cache: Path | None, keep_unknown: bool = False,
) -> tuple[Any, Any, Dataset]:  # fmt: skip
    """Return the checkpoint's model and processor, and the windows of the sessions as it sees them."""
    model, processor = load_vlm(checkpoint, device=device, dtype=getattr(torch, settings.dtype))
    labels = LabelSet(metadata.labels, metadata.verbs, metadata.object_classes)
    data = prepare(sessions, labels, settings, model, processor, cache, gaze_needed=False, keep_unknown=keep_unknown)
    if metadata.gaze_block:
        load_gaze_block(model, checkpoint, data.place)
    return model, processor, data


def _evaluate_stream(
    metadata: CheckpointMetadata, stream: StreamMetadata, data: Dataset, model: Any, processor: Any,
    settings: Settings, device: str, examples: int, embed: Embed | None,
) -> dict[str, Any]:  # fmt: skip
    """Return scores.score of windows before which an action begins, and stream_scores.score_stream of all moments."""
    assert data.stream is not None
    due = np.flatnonzero(data.stream.actions != NOTHING)
    if not len(due):
        raise NoWindows("no action begins within the horizon of any moment of these sessions; evaluate on others")
    chosen = data.only(evenly_spread(due, ANSWERED))
    answers = answer_windows(model, processor, chosen, settings, device)
    assert chosen.stream is not None
    answers = replace(
        answers,
        log_likelihoods=of_actions(answers.log_likelihoods, stream.words, metadata.temperature),
        generated=[stream.words.read(text)[0] for text in answers.generated],
    )
    by_label = replace(chosen, answers=data.labels.texts, answer_index=chosen.stream.actions, stream=None)
    scores = score(metadata, by_label, answers, settings, examples, embed)
    if settings.protocol != "own":
        return scores
    rows = np.arange(len(data.windows))
    ranked = rank_stream(model, data, rows, device, settings.batch_size)
    single = believed_stream(data, rows, ranked, metadata.temperature)
    over_time = filtered(single, stream.belief) if stream.belief else single
    for name, believed in (("stream", over_time), ("stream_single", single)):
        scores[name] = {
            scene: score_stream(of_sessions(believed, numbers), stream.operating_points, scores["answer_ms"] / 1e3)
            for scene, numbers in _scenes(data).items()
        }
    own = chosen_point(stream, 0.0, 0.0)
    scores["thresholds"] = f"at its own thresholds the predictor {point_text(own)}"
    scores["timelines"] = timelines(over_time, own, data.labels.texts, [session.name for session in data.sessions])
    return scores


def _evaluate_actions(
    metadata: CheckpointMetadata, data: Dataset, model: Any, processor: Any, settings: Settings, device: str,
    examples: int, embed: Embed | None,
) -> dict[str, Any]:  # fmt: skip
    """Return scores.score of windows in which an action goes on, for a model that is asked only what goes on now."""
    actions = len(data.labels.texts)
    held = np.flatnonzero(data.answer_index < actions)
    if not len(held):
        raise NoWindows("no action goes on at any moment of these sessions; evaluate on others")
    chosen = data.only(evenly_spread(held, ANSWERED))
    answers = answer_windows(model, processor, chosen, settings, device)
    answers = replace(answers, log_likelihoods=answers.log_likelihoods[:, :actions])
    by_label = replace(chosen, answers=data.labels.texts, asks_now=False)
    return score(metadata, by_label, answers, settings, examples, embed)


def _scenes(data: Dataset) -> dict[str, NDArray[np.int64]]:
    """Return the sessions of each kind of scene, and of all of them if there are several."""
    scenes = np.array([session.scene for session in data.sessions])
    found = {str(name): np.flatnonzero(scenes == name) for name in dict.fromkeys(scenes.tolist())}
    return found | {"all": np.arange(len(scenes))} if len(found) > 1 else found

"""Build a Dataset: convert bags, encode the question and the answers for one model."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gaze_vlm_ros.labels.answer_words import now_answers
from gaze_vlm_ros.labels.label_set import LabelSet
from gaze_vlm_ros.session.session import no_gaze
from gaze_vlm_ros.vlm.answer_inputs import kinds_of_answer
from gaze_vlm_ros.vlm.cross_attention import crossing_layers
from gaze_vlm_ros.vlm.observation import encode, label_tokens, require_plain_text
from gaze_vlm_ros.vlm.patches import Patches, tower_width
from gaze_vlm_ros.vlm.token_boxes import CannotLocate, vision_patches, visual_tokens
from gaze_vlm_ros.windows.cutting import NoWindows, Window, reasons_text
from training.data.conversion import TEXT_TENSORS, VisualTokens, convert_recordings
from training.data.dataset import Dataset
from training.data.gaze_prediction import predicted_gaze
from training.data.gaze_prompt import GazePrompts, now_question, question
from training.data.prepared_windows import PreparedWindows, Targets
from training.data.recordings import Mapper, Recording
from training.data.region_targets import REGION_GAZE
from training.data.stream_answers import answer_index, stream_answers
from training.settings import Settings

UNKNOWN_ANSWER = "with an answer that is not in the label set"  # reason in Dataset.dropped


def needs_gaze(settings: Settings) -> bool:
    """Return whether a fit needs gaze in each of its bags."""
    return settings.gaze not in ("none", "predicted", *REGION_GAZE)


def prepare(
    recordings: Sequence[Recording],
    labels: LabelSet,
    settings: Settings,
    model: torch.nn.Module,
    processor: Any,
    cache: Path | None = None,
    gaze_needed: bool = True,
    mapper: Mapper = map,
    gaze_shown_in: Sequence[Recording] = (),
    keep_unknown: bool = False,
    report: Callable[[str], object] | None = None,
) -> Dataset:
    """Encode the windows of `recordings` for the model exactly as the predictor does.

    recordings: loaded with the same settings.
    cache: folder of prepared windows, reused by later calls; None = a temporary one ($TMPDIR) that lives as long as
        the data set.
    gaze_needed: raise NoGaze for a session without gaze; otherwise its windows get no target.
    mapper: like `map`; converts several bags at a time.
    gaze_shown_in: recordings to train on, if settings.gaze_as shows gaze to the model, or settings.gaze is predicted.
    keep_unknown: keep windows whose answer is not in the label set, to count them as wrong.
    report: called with the number of visual tokens before anything is converted; None = it is not.
    Raises NoGaze, NoWindows if no window is left, CannotStore, CannotLocate, SeesAnswer, UnusableText, UnclearWords,
    NoRegions.
    """
    for recording in recordings if gaze_needed else ():
        if recording.gaze is None:
            raise no_gaze(recording.path)
    dropped = sum((recording.dropped for recording in recordings), Counter[str]())
    if not any(recording.windows for recording in recordings):
        reasons = reasons_text(dropped) or "no action in any bag"
        raise NoWindows(f"{len(recordings)} bags give no window: {reasons}; see moments_every_s, leads_s, horizon_s")

    require_plain_text(processor, "question", question(settings))
    words = settings.answer_words
    answers = words.texts(labels.texts) if words else labels.texts
    tokens_of = label_tokens(processor, answers)
    size = next(recording.frame_size for recording in recordings if recording.windows)
    frame_of_token, boxes, patches = _gaze_places(model, processor, size, settings)
    prompt = encode(processor, _blank_frames(size, settings), question(settings))
    kinds = kinds_of_answer(model, prompt)
    if report:
        report(
            f"{len(prompt.visual)} visual tokens a window, {len(prompt.visual) // settings.frames} a frame of "
            f"{size[0]}x{size[1]} px; {prompt.length} tokens with the question (picture_options and frames change them)"
            + (f"; gaze is put on {patches.total} patches of the vision tower" if patches else "")
        )
    temporary = None if cache else tempfile.TemporaryDirectory(prefix="gaze_vlm_windows_")
    folder = cache or Path(temporary.name)  # type: ignore[union-attr]
    tokens = VisualTokens(frame_of_token, boxes, settings.gaze_sigma * size[0])
    predictions = predicted_gaze(recordings, gaze_shown_in, settings, folder) if settings.gaze == "predicted" else None
    shown = frozenset(recording.digest for recording in gaze_shown_in)
    converted = convert_recordings(recordings, settings, processor, tokens, folder, mapper, shown, predictions)

    windows: list[Window] = []
    bags, rows = [], []
    for index, (recording, files) in enumerate(zip(recordings, converted, strict=True)):
        row = 0
        for window, problem in zip(recording.windows, files.problems, strict=True):
            is_unknown = settings.asks_next or not settings.is_stream
            if is_unknown and window.answer and labels.row(window.answer) < 0 and (words or not keep_unknown):
                dropped[UNKNOWN_ANSWER] += 1
            elif problem:
                dropped[problem] += 1
            else:
                windows.append(replace(window, session=index))
                bags.append(index)
                rows.append(row)
            row += not problem
    if not windows:
        raise NoWindows(f"{len(recordings)} bags give no window: {reasons_text(dropped)}")
    prepared = PreparedWindows(converted, np.array(bags), np.array(rows))
    stream = stream_answers(windows, labels, words, settings.horizon_s, tokens_of) if words else None
    gaze_prompts = (
        GazePrompts(processor, settings, size, TEXT_TENSORS, prompt.length) if settings.gaze_as == "text" else None
    )
    data = Dataset(
        sessions=recordings,
        windows=windows,
        dropped=dropped,
        labels=labels,
        answers=answers,
        answer_index=answer_index(stream, len(labels.texts))
        if stream
        else np.array([labels.row(window.answer) for window in windows]),
        answer_tokens=tokens_of,
        stream=stream,
        prompt={name: tensor for name, tensor in prompt.inputs.items() if name in TEXT_TENSORS},
        kinds=kinds,
        visual=prompt.visual,
        patches=patches,
        frame_of_token=frame_of_token,
        boxes=boxes,
        frame_size=size,
        prepared=prepared,
        gaze=Targets(prepared, len(frame_of_token)),
        has_gaze=prepared.has_gaze(),
        gaze_prompts=gaze_prompts,
        holds=temporary,
    )
    if not settings.asks_now:
        return data
    now = asked_now(data, settings, processor)
    return replace(data, now=now) if settings.asks_next else _of_stream_only(now)


def asked_now(data: Dataset, settings: Settings, processor: Any) -> Dataset:
    """Return the same windows with the question what goes on now: a label, or nothing.

    Windows that leads_s adds are not of the stream, so they have no answer here. Raises UnusableText, CannotLocate.
    """
    asked = replace(settings, question=settings.now_question)
    require_plain_text(processor, "question", now_question(settings))
    answers = now_answers(data.labels.texts, settings.now_nothing_words)
    prompt = encode(processor, _blank_frames(data.frame_size, settings), now_question(settings))
    if not torch.equal(prompt.visual, data.visual):
        raise CannotLocate(
            f"{settings.model} shows the pictures at another place in its prompt with now_question than with question; "
            "use questions of equal length, or one of the tasks"
        )
    nothing = len(data.labels.texts)
    known = [window.now if window.of_stream else None for window in data.windows]
    index = [-1 if text is None else data.labels.row(text) if text else nothing for text in known]
    return replace(
        data,
        windows=[
            replace(window, answer=window.now or "", answer_start_ns=window.now_start_ns, known_s=None)
            for window in data.windows
        ],
        answers=answers,
        answer_index=np.array(index, np.int64),
        answer_tokens=label_tokens(processor, answers),
        prompt={name: tensor for name, tensor in prompt.inputs.items() if name in TEXT_TENSORS},
        stream=None,
        asks_now=True,
        gaze_prompts=data.gaze_prompts and GazePrompts(processor, asked, data.frame_size, TEXT_TENSORS, prompt.length),
    )


def _of_stream_only(now: Dataset) -> Dataset:
    """Return the windows whose answer is known, for a model that is asked only what goes on now. Raises NoWindows."""
    known = np.flatnonzero(now.answer_index >= 0)
    if not len(known):
        raise NoWindows(f"no window of {len(now.sessions)} bags has a label that holds; see moments_every_s")
    return now.only(known)


def _blank_frames(size: tuple[int, int], settings: Settings) -> list[NDArray[np.uint8]]:
    return [np.zeros((size[1], size[0], 3), dtype=np.uint8)] * settings.frames


def _gaze_places(
    model: torch.nn.Module, processor: Any, size: tuple[int, int], settings: Settings
) -> tuple[NDArray[np.int64], NDArray[np.float64], Patches | None]:
    """Return frame and box of each token that gaze is put on, and patches if these are the vision tower's.

    They are the tower's for a block where the prompt's visual tokens have no place of their own. Raises CannotLocate.
    """
    block = settings.gaze_as == "block"
    if not (block and crossing_layers(model)):
        try:
            return *visual_tokens(model, processor, size, settings.frames), None
        except CannotLocate:
            if not block:
                raise
    width = tower_width(model, processor, size, settings.frames)
    frame_of_patch, boxes = vision_patches(model, processor, size, settings.frames)
    return frame_of_patch, boxes, Patches(len(boxes), width)

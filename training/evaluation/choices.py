"""Ask a checkpoint multiple-choice questions: the options are ranked as its answers are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.prediction.checkpoint import read_checkpoint_metadata
from gaze_vlm_ros.vlm.observation import UnusableText, encode, label_tokens, require_plain_text
from gaze_vlm_ros.vlm.ranking import Ranker
from gaze_vlm_ros.windows.cutting import Window
from training.data.recordings import Recording
from training.evaluation.checkpoint_evaluation import TRUE_GAZE, TrainedOn, load_with_windows
from training.model.device import resolve_device
from training.settings import SETTINGS_FILE, load_settings


class CannotAsk(GazeVlmError):
    """The checkpoint cannot be asked such questions."""


@dataclass(frozen=True)
class Choice:
    """A question about some frames of a session, with options of which one is right."""

    recording: Recording
    window: Window  # the frames it is about; its answer is empty
    text: str
    options: tuple[str, ...]
    answer: int  # index into options
    task: str  # kind of question

    @property
    def moment(self) -> tuple[Path, int]:
        """Bag and stamp of the last frame."""
        return self.recording.path, self.window.at_ns


def answer_choices(
    checkpoint: Path,
    choices: Sequence[Choice],
    *,
    own_question: bool = True,
    device: str = "auto",
    cache: Path | None = None,
) -> list[NDArray[np.float64] | str]:
    """Return (2, options) log-likelihoods of each choice's options, nats: whole, and by token; or why it is not asked.

    own_question: ask what the checkpoint was trained to answer, not the text of each choice. cache: folder of prepared
    windows; None = a temporary one. Raises TrainedOn for a session that trained or chose the checkpoint, CannotAsk for
    a checkpoint of the stream, and what loading raises.
    """
    metadata = read_checkpoint_metadata(checkpoint)
    settings = replace(load_settings(checkpoint / SETTINGS_FILE), **TRUE_GAZE)
    if settings.is_stream:
        raise CannotAsk(f"{checkpoint} answers with an action and a time, and options have none; fit without a stream")
    windows: dict[Path, dict[int, Window]] = {}
    recordings: dict[Path, Recording] = {}
    for choice in choices:
        own = choice.recording
        if own.digest in metadata.trained_on:
            raise TrainedOn(f"{own.path} was trained on (or chose the checkpoint); ask about other sessions")
        recordings[own.path] = own
        windows.setdefault(own.path, {})[choice.window.at_ns] = choice.window
    asked = [
        replace(own, windows=tuple(windows[path][at] for at in sorted(windows[path])), dropped=Counter())
        for path, own in recordings.items()
    ]
    device = resolve_device(device)
    model, processor, data = load_with_windows(checkpoint, metadata, settings, asked, device, cache)
    model.eval()
    row_of = {(data.sessions[own.session].path, own.at_ns): row for row, own in enumerate(data.windows)}
    blank = [np.zeros((data.frame_size[1], data.frame_size[0], 3), dtype=np.uint8)] * settings.frames
    answers: list[NDArray[np.float64] | str] = []
    for choice in choices:
        row = row_of.get(choice.moment)
        if row is None:
            answers.append("with a damaged frame")
            continue
        try:
            tokens = label_tokens(processor, choice.options)
        except UnusableText:
            answers.append("with options that the model cannot tell apart or read")
            continue
        shown = data
        if not own_question:
            require_plain_text(processor, "question", choice.text)
            prompt = encode(processor, blank, choice.text)
            shown = replace(data, prompt={name: prompt.inputs[name] for name in data.prompt}, visual=prompt.visual)
        found = Ranker(model, tokens).rank(shown.encoded(row, device)).log_likelihoods
        answers.append(np.stack([found, found / np.array([len(own) for own in tokens])]))
    return answers

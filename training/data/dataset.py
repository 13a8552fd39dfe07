"""Windows made ready for one model: its input tensors, the answers' tokens and the gaze targets, read from disk."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gaze_vlm_ros.labels.label_set import LabelSet
from gaze_vlm_ros.session.session import no_gaze
from gaze_vlm_ros.vlm.answer_inputs import kinds_of_answer, with_answers
from gaze_vlm_ros.vlm.observation import Encoded, answer_tokens, encode
from gaze_vlm_ros.vlm.token_boxes import visual_tokens
from gaze_vlm_ros.windows.cutting import NoWindows, Window, reasons_text
from training.data.batch import IGNORED, Batch
from training.data.conversion import TEXT_TENSORS, VisualTokens, convert_recordings
from training.data.gaze_prompt import GazePrompts, question
from training.data.gaze_targets import FrameGaze
from training.data.recordings import Mapper, Recording
from training.data.stored import StoredWindows, Targets
from training.settings import Settings


@dataclass(frozen=True)
class Dataset:
    """All windows of some sessions, for one model, one question and one label set."""

    sessions: Sequence[Recording]
    windows: Sequence[Window]
    dropped: Counter[str]  # moments that made no window, by reason
    labels: LabelSet
    answer_index: NDArray[np.int64]  # (N,) into labels.texts
    answer_tokens: Sequence[Sequence[int]]  # of each label, the end token included
    prompt: dict[str, torch.Tensor]  # TEXT_TENSORS of the question, (1, P): the same for every window
    kinds: Mapping[str, int]  # what inputs that tell kinds of tokens hold for an answer's
    visual: torch.Tensor  # (V,) positions of the visual tokens in the prompt
    frame_of_token: NDArray[np.int64]  # (V,) which of the window's frames a visual token looks at
    boxes: NDArray[np.float64]  # (V, 4) and where, px of the frame
    frame_size: tuple[int, int]  # (width, height) px
    stored: StoredWindows
    gaze: Targets  # (N, V)
    has_gaze: NDArray[np.bool_]  # (N,)
    gaze_prompts: GazePrompts | None = None  # the prompts of training where gaze is shown in words
    holds: object = None  # a temporary folder lives as long as what needs it

    def batch(
        self,
        rows: NDArray[np.int64],
        device: str = "cpu",
        gaze_of: NDArray[np.int64] | None = None,
        with_gaze: bool = False,
    ) -> Batch:
        """The windows `rows` with their true answers.

        gaze_of: (N,) the window whose gaze each gets, for its own. with_gaze: in words too, if the data set has them.
        """
        texts = [self.answer_tokens[answer] for answer in self.answer_index[rows]]
        longest = max(map(len, texts))
        tokens = torch.tensor([[*text, *[IGNORED] * (longest - len(text))] for text in texts])
        inputs = self.questions(rows, "cpu")
        if with_gaze and self.gaze_prompts:
            prompts = [self.gaze_prompts(self.gaze_points(row)) for row in rows.tolist()]
            inputs |= {name: torch.cat([prompt[name] for prompt in prompts]) for name in self.prompt}
        # Padding is masked by attention_mask; which token stands there does not matter.
        inputs = with_answers(inputs, tokens.clamp(min=0), tokens != IGNORED, self.kinds)
        targets = torch.from_numpy(self.gaze[rows if gaze_of is None else gaze_of[rows]])
        return Batch(inputs, tokens, self.visual, torch.from_numpy(self.frame_of_token), targets).to(device)

    def questions(self, rows: NDArray[np.int64], device: str) -> dict[str, torch.Tensor]:
        """What the model is asked about the windows `rows`: images and prompt, no answer."""
        inputs = self.stored.images(rows) | {
            name: text.expand(len(rows), *text.shape[1:]) for name, text in self.prompt.items()
        }
        return {name: tensor.to(device) for name, tensor in inputs.items()}

    def encoded(self, row: int, device: str) -> Encoded:
        """What the model is asked about one window: the same as observation.encode of its frames."""
        return Encoded(self.questions(np.array([row]), device), self.visual.to(device))

    def gaze_points(self, row: int) -> list[FrameGaze]:
        """Usable gaze on each frame of one window: points px, weights."""
        return self.stored.gaze_points(row)

    def rows_of(self, sessions: Sequence[int]) -> NDArray[np.int64]:
        """Rows of the windows of these sessions."""
        return np.flatnonzero(np.isin([window.session for window in self.windows], sessions))

    def session_table(self, part_of: Sequence[str]) -> list[dict[str, Any]]:
        """One row of figures per session, for reports. part_of: what each session is used for."""
        table = []
        for index, (session, part) in enumerate(zip(self.sessions, part_of, strict=True)):
            rows = self.rows_of([index])
            table.append(
                {
                    "name": session.name,
                    "person": session.person,
                    "task": session.task,
                    "scene": session.scene,
                    "part": part,
                    "digest": session.digest,
                    "frames": session.frames,
                    "windows": len(rows),
                    "gaze_share": float(self.has_gaze[rows].mean()) if len(rows) else None,
                    "gaze_samples": asdict(session.gaze) if session.gaze else None,
                }
            )
        return table


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
) -> Dataset:
    """Encode the recordings' windows as the predictor would. `recordings` were loaded with the same settings.

    cache: folder in which prepared windows are kept, and found again; None: a temporary one ($TMPDIR), as long as the
    data set lives. mapper: runs the conversion of bags, several at a time.
    gaze_shown_in: the recordings that are trained on, where settings.gaze_as shows gaze to the model.
    gaze_needed: raise NoGaze for a session without gaze, rather than give its windows no target.
    Raises NoWindows when nothing is left, CannotStore, CannotLocate, SeesAnswer.
    """
    for recording in recordings if gaze_needed else ():
        if recording.gaze is None:
            raise no_gaze(recording.path)
    dropped = sum((recording.dropped for recording in recordings), Counter[str]())
    if not any(recording.windows for recording in recordings):
        reasons = reasons_text(dropped) or "no action in any bag"
        raise NoWindows(f"{len(recordings)} bags give no window: {reasons}; see stride_s, leads_s, horizon_s")

    size = next(recording.frame_size for recording in recordings if recording.windows)
    frame_of_token, boxes = visual_tokens(model, processor, size, settings.frames)
    blank = [np.zeros((size[1], size[0], 3), dtype=np.uint8)] * settings.frames
    prompt = encode(processor, blank, question(settings))
    kinds = kinds_of_answer(model, prompt)
    temporary = None if cache else tempfile.TemporaryDirectory(prefix="gaze_vlm_windows_")
    folder = cache or Path(temporary.name)  # type: ignore[union-attr]
    tokens = VisualTokens(frame_of_token, boxes, settings.gaze_sigma * size[0])
    shown = frozenset(recording.digest for recording in gaze_shown_in)
    converted = convert_recordings(recordings, settings, processor, tokens, folder, mapper, shown)

    windows: list[Window] = []
    bags, rows = [], []
    for index, (recording, files) in enumerate(zip(recordings, converted, strict=True)):
        row = 0
        for window, problem in zip(recording.windows, files.problems, strict=True):
            if window.answer not in labels.texts:
                dropped["with an answer that is not in the label set"] += 1
            elif problem:
                dropped[problem] += 1
            else:
                windows.append(replace(window, session=index))
                bags.append(index)
                rows.append(row)
            row += not problem
    if not windows:
        raise NoWindows(f"{len(recordings)} bags give no window: {reasons_text(dropped)}")
    stored = StoredWindows(converted, np.array(bags), np.array(rows))
    gaze_prompts = (
        GazePrompts(processor, settings, size, TEXT_TENSORS, prompt.length) if settings.gaze_as == "text" else None
    )
    return Dataset(
        sessions=recordings,
        windows=windows,
        dropped=dropped,
        labels=labels,
        answer_index=np.array([labels.texts.index(window.answer) for window in windows]),
        answer_tokens=[answer_tokens(processor, text) for text in labels.texts],
        prompt={name: tensor for name, tensor in prompt.inputs.items() if name in TEXT_TENSORS},
        kinds=kinds,
        visual=prompt.visual,
        frame_of_token=frame_of_token,
        boxes=boxes,
        frame_size=size,
        stored=stored,
        gaze=Targets(stored, len(frame_of_token)),
        has_gaze=stored.has_gaze(),
        gaze_prompts=gaze_prompts,
        holds=temporary,
    )

"""The windows of some sessions for one model: input tensors, answer tokens and gaze targets, read from disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gaze_vlm_ros.labels.label_set import LabelSet
from gaze_vlm_ros.vlm.answer_inputs import with_answers
from gaze_vlm_ros.vlm.observation import Encoded
from gaze_vlm_ros.vlm.patches import Patches
from gaze_vlm_ros.windows.cutting import Window
from training.data.batch import IGNORED, Batch, WhenTokens
from training.data.gaze_prompt import GazePrompts
from training.data.gaze_targets import FrameGaze
from training.data.prepared_windows import PreparedWindows, Targets
from training.data.recordings import Recording
from training.data.stream_answers import StreamAnswers


@dataclass(frozen=True)
class Dataset:
    """All windows of some sessions, for one model, one question and one label set."""

    sessions: Sequence[Recording]
    windows: Sequence[Window]
    dropped: Counter[str]  # number of moments without a window, by reason
    labels: LabelSet
    answers: Sequence[str]  # all possible ones: the texts of the labels; of the stream, AnswerWords.texts
    answer_index: NDArray[np.int64]  # (N,) index of each window's answer in `answers`; -1 = not among them, not known
    answer_tokens: Sequence[Sequence[int]]  # tokens of each of `answers`, end token included
    prompt: dict[str, torch.Tensor]  # text inputs of the question, (1, P) each: the same for every window
    kinds: Mapping[str, int]  # value for answer tokens in inputs that tell kinds of tokens apart
    visual: torch.Tensor  # (V,) positions of the visual tokens in the prompt
    patches: Patches | None  # gaze is put on the vision tower's patches, which are the V below; None = on `visual`
    frame_of_token: NDArray[np.int64]  # (V,) which of the window's frames each visual token looks at
    boxes: NDArray[np.float64]  # (V, 4) where it looks: x0, y0, x1, y1, px of that frame
    frame_size: tuple[int, int]  # (width, height) px
    prepared: PreparedWindows
    gaze: Targets  # (N, V)
    has_gaze: NDArray[np.bool_]  # (N,)
    stream: StreamAnswers | None = None  # None = answers are only labels, or what goes on now
    # The same windows with the question what goes on now, whose answers are the labels and, last, nothing; None = it is
    # not asked
    now: Dataset | None = None
    asks_now: bool = False  # this is such a data set: windows without a known answer count nothing in a batch
    gaze_prompts: GazePrompts | None = None  # prompts for training if gaze is shown in words
    left_out: torch.Tensor | None = None  # (V,) bool: visual tokens that the regularizer leaves out; None = none
    holds: object = None  # keeps a temporary folder alive as long as the data set

    def batch(
        self,
        rows: NDArray[np.int64],
        device: str = "cpu",
        gaze_of: NDArray[np.int64] | None = None,
        with_gaze: bool = False,
    ) -> Batch:
        """Return the windows `rows` with their true answers.

        gaze_of: (N,) row whose gaze each window gets; None = its own.
        with_gaze: also put gaze into the prompt, if the data set has gaze_prompts. Only for training.
        Raises ValueError for a window whose answer is not in the label set, unless the data set asks_now.
        """
        is_known = self.answer_index[rows] >= 0
        if not is_known.all() and not self.asks_now:
            raise ValueError("a window without an answer in the label set cannot be trained on")
        texts = [self.answer_tokens[answer] for answer in self.answer_index[rows]]
        when = None
        if self.stream:
            when = self._when_tokens(self.stream, rows)
            # Beyond the words that say when, nothing is known of a censored window.
            texts = [
                text[: when.position + 1] if is_censored else text
                for text, is_censored in zip(texts, self.stream.censored[rows], strict=True)
            ]
        longest = max(map(len, texts))
        tokens = torch.tensor([[*text, *[IGNORED] * (longest - len(text))] for text in texts])
        tokens[torch.from_numpy(~is_known)] = IGNORED
        inputs = self.questions(rows, "cpu")
        if with_gaze and self.gaze_prompts:
            prompts = [self.gaze_prompts(self.gaze_points(row)) for row in rows.tolist()]
            inputs |= {name: torch.cat([prompt[name] for prompt in prompts]) for name in self.prompt}
        # attention_mask hides the padding, so any token does there.
        inputs = with_answers(inputs, tokens.clamp(min=0), tokens != IGNORED, self.kinds)
        targets = torch.from_numpy(self.gaze[rows if gaze_of is None else gaze_of[rows]] * is_known[:, None])
        frames = torch.from_numpy(self.frame_of_token)
        return Batch(inputs, tokens, self.visual, frames, targets, when, left_out=self.left_out).to(device)

    def _when_tokens(self, stream: StreamAnswers, rows: NDArray[np.int64]) -> WhenTokens:
        tokens, remaining = torch.from_numpy(stream.when_tokens), torch.from_numpy(stream.remaining(rows))
        return WhenTokens(stream.when_position, tokens, remaining, torch.zeros(len(tokens)))

    def questions(self, rows: NDArray[np.int64], device: str) -> dict[str, torch.Tensor]:
        """Return the model inputs of the windows `rows` without answers: images and prompt."""
        inputs = self.prepared.images(rows) | {
            name: text.expand(len(rows), *text.shape[1:]) for name, text in self.prompt.items()
        }
        return {name: tensor.to(device) for name, tensor in inputs.items()}

    @property
    def place(self) -> torch.Tensor | Patches:
        """Where a gaze block is put: model.gaze_block.Place."""
        return self.patches or self.visual

    def encoded(self, row: int, device: str) -> Encoded:
        """Return the model inputs of one window: equal to observation.encode of its frames."""
        return Encoded(self.questions(np.array([row]), device), self.visual.to(device))

    def gaze_points(self, row: int) -> list[FrameGaze]:
        """Return usable gaze on each frame of one window: (n, 2) points px and (n,) weights."""
        return self.prepared.gaze_points(row)

    def only(self, rows: NDArray[np.int64]) -> Dataset:
        """Return a data set with only the windows `rows`."""
        prepared = PreparedWindows(self.prepared.bags, self.prepared.bag[rows], self.prepared.row[rows])
        return replace(
            self,
            windows=[self.windows[row] for row in rows],
            answer_index=self.answer_index[rows],
            prepared=prepared,
            gaze=Targets(prepared, self.gaze.shape[1]),
            has_gaze=self.has_gaze[rows],
            stream=self.stream and self.stream.only(rows),
            now=self.now and self.now.only(rows),
        )

    def rows_of(self, sessions: Sequence[int]) -> NDArray[np.int64]:
        """Return the rows of the windows of these sessions."""
        return np.flatnonzero(np.isin([window.session for window in self.windows], sessions))

    def session_table(self, part_of: Sequence[str]) -> list[dict[str, Any]]:
        """Return one row of figures per session, for reports. part_of: part of the split of each session."""
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


def evenly_spread(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return at most `count` of `rows`, evenly spread, the first and the last among them."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, count).round().astype(int))]

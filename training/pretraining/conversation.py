"""Batches of observations with several questions each: pictures cost most of a pass, so ask about them often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gaze_vlm_ros.vlm.observation import answer_tokens, encode
from training.pretraining.pictures import Observation
from training.pretraining.questions import Turn

NOT_ASKED = -100  # target of a position that predicts no answer


@dataclass(frozen=True)
class Asked:
    """B observations, each with several questions and answers, ready for a forward pass."""

    inputs: dict[str, Tensor]  # keyword arguments of the model
    targets: Tensor  # (B, S) token of an answer that follows each position, end of turn included, or NOT_ASKED
    rows: Tensor  # (B, R) positions that predict answers; padded with 0
    about: Tensor  # (B, R) where each of these answers is seen, see Turn.about; padded with -1


@dataclass(frozen=True)
class Conversations:
    """Makes model inputs of observations and their questions, in the chat template of `processor`."""

    processor: Any
    size: tuple[int, int]  # (width, height) px of the pictures
    _prompts: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    _answers: dict[str, list[int]] = field(default_factory=dict)

    def inputs(self, seen: Sequence[Observation], asked: Sequence[Sequence[Turn]]) -> Asked:
        """Return the inputs of B observations of equally many frames with their questions."""
        tokens, targets, rows, about = [], [], [], []
        for observation, turns in zip(seen, asked, strict=True):
            own: list[int] = []
            follows: list[int] = []
            places: list[int] = []
            for number, turn in enumerate(turns):
                prompt = self._prompt(turn.question, 0 if number else len(observation.frames))
                reply = self._answer(turn.answer)
                own += prompt + reply
                follows += [NOT_ASKED] * (len(prompt) - 1) + reply + [NOT_ASKED]
                places += [turn.about] * len(reply)
            tokens.append(own)
            targets.append(follows)
            rows.append([position for position, token in enumerate(follows) if token != NOT_ASKED])
            about.append(places)
        inputs = dict(self.processor.image_processor([list(one.frames) for one in seen], return_tensors="pt"))
        inputs["input_ids"] = _padded(tokens, self.processor.tokenizer.pad_token_id)
        inputs["attention_mask"] = _padded([[1] * len(own) for own in tokens], 0)
        return Asked(inputs, _padded(targets, NOT_ASKED), _padded(rows, 0), _padded(about, -1))

    def visual(self, frames: int) -> Tensor:
        """Return (V,) positions of the visual tokens of `frames` frames: the same for every first question."""
        return encode(self.processor, self._blank() * frames, "?").visual

    def _blank(self) -> list[Any]:
        return [np.zeros((self.size[1], self.size[0], 3), np.uint8)]

    def _prompt(self, question: str, frames: int) -> list[int]:
        """Return the tokens from the start of a user's turn to the start of the reply; frames 0 = a later turn."""
        key = (question, frames)
        if key not in self._prompts:
            if frames:
                ids = encode(self.processor, self._blank() * frames, question).inputs["input_ids"][0].tolist()
            else:
                turn = {"role": "user", "content": [{"type": "text", "text": question}]}
                text = self.processor.apply_chat_template([turn], add_generation_prompt=True, tokenize=False)
                ids = list(self.processor.tokenizer("\n" + text, add_special_tokens=False)["input_ids"])
            self._prompts[key] = ids
        return self._prompts[key]

    def _answer(self, text: str) -> list[int]:
        if text not in self._answers:
            self._answers[text] = answer_tokens(self.processor, text)
        return self._answers[text]


def _padded(rows: Sequence[Sequence[int]], filler: int) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (longest - len(row))] for row in rows])

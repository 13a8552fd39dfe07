"""Encode frames and a question as model inputs: the single path that trainer and predictor share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.cross_attention import KEYS_PER_FRAME, STATES, crossing_layers


class NoVisualTokens(GazeVlmError):
    """The prompt holds no image token."""


@dataclass(frozen=True)
class Encoded:
    """One question about one observation, ready for the model."""

    inputs: dict[str, torch.Tensor]  # batch of one; ends where the answer begins
    visual: torch.Tensor  # (V,) positions of the visual tokens, int64: in input_ids, or among keys, see cross_attention

    @property
    def length(self) -> int:
        """Number of prompt tokens; row length - 1 predicts the answer's first token."""
        return self.inputs["input_ids"].shape[1]


def encode(processor: Any, frames: Sequence[NDArray[np.uint8]], question: str) -> Encoded:
    """Return inputs for `question` about `frames` ((H, W, 3) uint8 RGB, oldest first) in the model's chat template.

    Raises NoVisualTokens.
    """
    if not frames:
        raise NoVisualTokens("the question has no frames; give at least one")
    turn = {"role": "user", "content": [*({"type": "image"} for _ in frames), {"type": "text", "text": question}]}
    prompt = processor.apply_chat_template([turn], add_generation_prompt=True, tokenize=False)
    images = [np.array(frame, order="C") for frame in frames]  # copies: torch warns about read-only arrays
    # Where the template writes the first token, the tokenizer must not add another.
    first = processor.tokenizer.bos_token
    options = {"add_special_tokens": False} if first and prompt.startswith(first) else {}
    inputs = dict(processor(text=[prompt], images=[images], return_tensors="pt", **options))
    inputs.pop("labels", None)  # PaliGemma's processor adds them for training
    if keys := getattr(processor, KEYS_PER_FRAME, 0):
        return Encoded(inputs, torch.arange(keys * len(frames)))
    return Encoded(inputs, visual_positions(processor, inputs["input_ids"][0]))


def count_keys(model: Any, processor: Any) -> None:
    """Set on `processor` the number of keys per frame, where `model` attends to pictures in separate layers.

    Call it once for each loaded pair.
    """
    if not crossing_layers(model):
        return
    counts: list[int] = []

    def count(_module: torch.nn.Module, _arguments: Any, keywords: dict[str, Any]) -> None:
        counts.append(keywords[STATES].shape[:-1].numel())

    grey = np.full((224, 224, 3), 128, np.uint8)
    inputs = {name: tensor.to(model.device) for name, tensor in encode(processor, [grey], "?").inputs.items()}
    hook = model.get_decoder().register_forward_pre_hook(count, with_kwargs=True)
    try:
        with torch.no_grad():
            model(**inputs, use_cache=False)
    finally:
        hook.remove()
    setattr(processor, KEYS_PER_FRAME, counts[0])


def visual_positions(processor: Any, input_ids: torch.Tensor) -> torch.Tensor:
    """Return (V,) positions of the visual tokens in one prompt's (S,) token ids. Raises NoVisualTokens."""
    # Gemma 3's processor uses image_token_id for the placeholder that it expands into many tokens.
    token_id = getattr(processor.tokenizer, "image_token_id", None) or processor.image_token_id
    positions = torch.nonzero(input_ids == token_id).flatten()
    if not len(positions):
        raise NoVisualTokens(f"the prompt holds no token {processor.image_token!r}; the chat template shows no image")
    return positions


def answer_tokens(processor: Any, answer: str) -> list[int]:
    """Return the token ids of `answer` as the model would write it after the prompt, with its end-of-turn token."""
    turn = {"role": "user", "content": [{"type": "text", "text": "?"}]}
    reply = {"role": "assistant", "content": [{"type": "text", "text": answer}]}
    prompt = processor.apply_chat_template([turn], add_generation_prompt=True, tokenize=False)
    whole = processor.apply_chat_template([turn, reply], tokenize=False)
    tokenizer = processor.tokenizer
    # A template may close the turn with a line break after the end token, which need not be predicted. Where a template
    # writes the prompt differently once there is a reply, only the answer itself can be used.
    written = whole[len(prompt) :] if whole.startswith(prompt) else answer + tokenizer.eos_token
    ids = list(tokenizer(written, add_special_tokens=False)["input_ids"])
    ends = [position for position, token in enumerate(ids) if token in end_tokens(tokenizer)]
    return ids[: ends[0] + 1] if ends else [*ids, tokenizer.eos_token_id]


def end_tokens(tokenizer: Any) -> set[int]:
    """Return the tokens that end an assistant's turn: the tokenizer's own, and those that chat templates use."""
    names = ("<end_of_utterance>", "<|im_end|>", "<end_of_turn>", "<|eot_id|>", "</s>")
    known = tokenizer.get_vocab()
    return {tokenizer.eos_token_id, *(known[name] for name in names if name in known)}

"""Encode frames and a question as model inputs: the single path that trainer and predictor share."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.cross_attention import KEYS_PER_FRAME, crossing_layers, states_among
from gaze_vlm_ros.vlm.memory import out_of_memory_reason


class NoVisualTokens(GazeVlmError):
    """The prompt holds no image token."""


class CannotEncode(GazeVlmError):
    """The model's processor takes no pictures with a question."""


class UnusableText(GazeVlmError):
    """A label or a question holds tokens that mean something else to the model, or labels are the same tokens."""


_VISUAL = "visual_token_ids"  # attribute that note_visual_tokens sets on a tokenizer
_GREY = np.full((224, 224, 3), 128, np.uint8)
_MARK = "answer"  # any text that a template leaves as it is


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
    inputs = _inputs(processor, frames, question)
    if keys := getattr(processor, KEYS_PER_FRAME, 0):
        return Encoded(inputs, torch.arange(keys * len(frames)))
    return Encoded(inputs, visual_positions(processor, inputs["input_ids"][0]))


def _inputs(processor: Any, frames: Sequence[NDArray[np.uint8]], question: str) -> dict[str, torch.Tensor]:
    if not frames:
        raise NoVisualTokens("the question has no frames; give at least one")
    turn = {"role": "user", "content": [*({"type": "image"} for _ in frames), {"type": "text", "text": question}]}
    prompt = processor.apply_chat_template([turn], add_generation_prompt=True, tokenize=False)
    # Where the template writes the first token, the tokenizer must not add another.
    first = processor.tokenizer.bos_token
    options = {"add_special_tokens": False} if first and prompt.startswith(first) else {}
    inputs = _processed(processor, prompt, frames, options)
    inputs.pop("labels", None)  # PaliGemma's processor adds them for training
    return inputs


def _processed(
    processor: Any, prompt: str, frames: Sequence[NDArray[np.uint8]], options: dict[str, Any]
) -> dict[str, torch.Tensor]:
    """Return what the processor makes of one prompt with its frames. Raises CannotEncode."""
    copies = [np.array(frame, order="C") for frame in frames]  # torch warns about read-only arrays
    problem: Exception | None = None
    for convert in (np.asarray, Image.fromarray):  # some take only pictures of PIL (Idefics 2)
        try:
            images = [[convert(frame) for frame in copies]]
            return dict(processor(text=[prompt], images=images, return_tensors="pt", **options))
        except (TypeError, ValueError, AttributeError) as error:
            problem = problem or error
    raise CannotEncode(
        f"{type(processor).__name__} cannot put {len(frames)} pictures and a question into one prompt "
        f"({' '.join(str(problem).split())[:200]}); use another model"
    ) from None


def note_visual_tokens(model: Any, processor: Any) -> None:
    """Note for `processor` which of its tokens are visual, or the number of keys per frame. Call it once for each pair.

    A token is visual if what the decoder reads in its place depends on pixels: the processor's own marker of a picture
    need not be (Ovis 2, Llama 4). Keys are those of a `model` that attends to pictures in separate layers.
    """
    if not crossing_layers(model):
        if tokens := _pixel_tokens(model, processor):
            setattr(processor.tokenizer, _VISUAL, tokens)  # a processor would save it
        return
    counts: list[int] = []

    def count(_module: torch.nn.Module, _arguments: Any, keywords: dict[str, Any]) -> None:
        counts.append(states_among(keywords).shape[:-1].numel())

    inputs = {name: tensor.to(model.device) for name, tensor in _inputs(processor, [_GREY], "?").items()}
    hook = model.get_decoder().register_forward_pre_hook(count, with_kwargs=True)
    try:
        with torch.no_grad():
            model(**inputs, use_cache=False)
    finally:
        hook.remove()
    setattr(processor, KEYS_PER_FRAME, counts[0])


class _Reached(Exception):
    """Raised when the decoder is about to run."""


def _pixel_tokens(model: Any, processor: Any) -> tuple[int, ...]:
    """Return the tokens of a prompt whose embeddings depend on pixels; none where the decoder is not given them."""
    inputs = {name: tensor.to(model.device) for name, tensor in _inputs(processor, [_GREY], "?").items()}
    seen: list[torch.Tensor] = []

    def stop(_module: torch.nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        if isinstance(embeddings := keywords.get("inputs_embeds", arguments[0] if arguments else None), torch.Tensor):
            seen.append(embeddings[0])
        raise _Reached

    hook = model.get_decoder().register_forward_pre_hook(stop, with_kwargs=True)
    dtype = next(model.parameters()).dtype
    try:
        for seed in range(2):
            generator = torch.Generator().manual_seed(seed)
            noise = {
                name: torch.randn(tensor.shape, generator=generator).to(model.device, dtype)
                for name, tensor in inputs.items()
                if name.startswith("pixel_values") and tensor.is_floating_point()
            }
            with torch.no_grad(), suppress(_Reached):
                model(**(inputs | noise))
    except (RuntimeError, ValueError, IndexError) as error:
        if out_of_memory_reason(error):
            raise
        return ()  # visual_tokens says why
    finally:
        hook.remove()
    ids = inputs["input_ids"][0]
    if len(seen) < 2 or seen[0].shape != seen[1].shape or len(seen[0]) != len(ids):
        return ()
    return tuple(ids[(seen[0] != seen[1]).any(dim=-1)].unique().tolist())


def visual_positions(processor: Any, input_ids: torch.Tensor) -> torch.Tensor:
    """Return (V,) positions of the visual tokens in one prompt's (S,) token ids. Raises NoVisualTokens."""
    visual = getattr(processor.tokenizer, _VISUAL, ())
    if not visual:
        # Gemma 3's processor uses image_token_id for the placeholder that it expands into many tokens.
        visual = (getattr(processor.tokenizer, "image_token_id", None) or processor.image_token_id,)
    positions = torch.nonzero(torch.isin(input_ids, torch.tensor(visual))).flatten()
    if not len(positions):
        raise NoVisualTokens(f"the prompt holds no token {processor.image_token!r}; the chat template shows no image")
    return positions


def answer_tokens(processor: Any, answer: str) -> list[int]:
    """Return the token ids of `answer` as the model would write it after the prompt, with its end-of-turn token.

    Text that the template writes before a reply, such as an empty thinking block, is part of it; decode_answer leaves
    it out again. Raises UnusableText for an answer with a token of the template.
    """
    return _answer_tokens(processor, answer, end_tokens(processor.tokenizer))


def _answer_tokens(processor: Any, answer: str, ends: set[int]) -> list[int]:
    """Return `answer_tokens`. ends: end_tokens of the tokenizer, which take long to find in a large vocabulary."""
    require_plain_text(processor, "label", answer)
    tokenizer = processor.tokenizer
    written = _written_reply(processor, answer)
    if written is None:
        written = answer + tokenizer.eos_token
    ids = list(tokenizer(written, add_special_tokens=False)["input_ids"])
    first_end = next((position for position, token in enumerate(ids) if token in ends), None)
    return [*ids, tokenizer.eos_token_id] if first_end is None else ids[: first_end + 1]


def label_tokens(processor: Any, labels: Sequence[str]) -> list[list[int]]:
    """Return the answer_tokens of each label. Raises UnusableText, also where two labels have the same tokens."""
    ends = end_tokens(processor.tokenizer)
    tokens = [_answer_tokens(processor, label, ends) for label in labels]
    first: dict[tuple[int, ...], str] = {}
    for label, ids in zip(labels, tokens, strict=True):
        if (other := first.setdefault(tuple(ids), label)) != label:
            raise UnusableText(
                f"the labels {other!r} and {label!r} are the same tokens to this model's tokenizer, so it cannot tell "
                "them apart; make them one label"
            )
    return tokens


def decode_answer(processor: Any, tokens: Sequence[int]) -> str:
    """Return the text of an answer in tokens, up to its end: what answer_tokens turned into these tokens."""
    ends = end_tokens(processor.tokenizer)
    said = list(itertools.takewhile(lambda token: token not in ends, map(int, tokens)))
    text = str(processor.tokenizer.decode(said, skip_special_tokens=True)).strip()
    before = (_written_reply(processor, _MARK) or _MARK).partition(_MARK)[0]
    ids = processor.tokenizer(before, add_special_tokens=False)["input_ids"]
    return text.removeprefix(str(processor.tokenizer.decode(ids, skip_special_tokens=True)).strip()).strip()


def open_thinking(processor: Any) -> str:
    """Return the tag of a thinking block that the template opens before each reply and leaves open; "" = none."""
    turn = {"role": "user", "content": [{"type": "text", "text": "?"}]}
    prompt = processor.apply_chat_template([turn], add_generation_prompt=True, tokenize=False)
    found = re.search(r"<(\w*think\w*)>\s*$", prompt, re.IGNORECASE)
    return found[0].strip() if found else ""


def require_plain_text(processor: Any, what: str, text: str) -> None:
    """Raise UnusableText if `text` holds a token with a meaning of its own, such as `<image>`. what: text in words."""
    tokenizer = processor.tokenizer
    special = {token for token, content in tokenizer.added_tokens_decoder.items() if content.special}
    special |= {*tokenizer.all_special_ids, *_image_tokens(processor)}
    for token in tokenizer(text, add_special_tokens=False)["input_ids"]:
        if token in special:
            meant = tokenizer.convert_ids_to_tokens(token)
            raise UnusableText(f"the {what} {text!r} holds {meant!r}, a token of the model's template; use other words")


def _image_tokens(processor: Any) -> set[int]:
    # Gemma 3's processor uses image_token_id for the placeholder that it expands into many tokens.
    found = (getattr(processor.tokenizer, "image_token_id", None), getattr(processor, "image_token_id", None))
    return {*getattr(processor.tokenizer, _VISUAL, ()), *(token for token in found if token is not None)}


def _written_reply(processor: Any, answer: str) -> str | None:
    """Return what the template writes after the prompt for a reply.

    None where it writes the prompt differently once there is a reply: then only the answer itself can be used. A
    template may close the turn with a line break after the end token, which need not be predicted.
    """
    turn = {"role": "user", "content": [{"type": "text", "text": "?"}]}
    reply = {"role": "assistant", "content": [{"type": "text", "text": answer}]}
    prompt = processor.apply_chat_template([turn], add_generation_prompt=True, tokenize=False)
    whole = str(processor.apply_chat_template([turn, reply], tokenize=False))
    return whole[len(prompt) :] if whole.startswith(prompt) else None


def end_tokens(tokenizer: Any) -> set[int]:
    """Return the tokens that end an assistant's turn: the tokenizer's own, and those that chat templates use."""
    names = ("<end_of_utterance>", "<|im_end|>", "<end_of_turn>", "<|eot_id|>", "</s>")
    known = tokenizer.get_vocab()
    return {tokenizer.eos_token_id, *(known[name] for name in names if name in known)}

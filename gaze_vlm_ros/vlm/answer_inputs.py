"""A prompt with its answer behind it, as one forward pass takes them: what each input holds for the answer's tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.observation import Encoded

_KINDS = "token_type_ids"  # how names end of inputs that say of each token what kind it is


class SeesAnswer(GazeVlmError):
    """The positions that predict the answer see it: the model would learn to copy."""


def with_answers(
    inputs: Mapping[str, Tensor], tokens: Tensor, present: Tensor, kinds: Mapping[str, int]
) -> dict[str, Tensor]:
    """`inputs` of B prompts of equal length, with (B, A) `tokens` behind them, padded where `present` is 0.

    kinds: what `token_type_ids` and the like hold there, by name; see `kinds_of_answer`.
    """
    whole = dict(inputs)
    batch, length = inputs["input_ids"].shape
    for name, tensor in inputs.items():
        if tensor.shape[:2] != (batch, length):
            continue  # of the images
        if name == "input_ids":
            tail = tokens
        elif name == "attention_mask":
            tail = present
        elif tensor.ndim == 2:
            tail = torch.full_like(tokens, kinds.get(name, 0))
        else:  # which images a token may see: as the prompt's last token
            tail = tensor[:, -1:].expand(-1, tokens.shape[1], *tensor.shape[2:])
        whole[name] = torch.cat([tensor, tail.to(tensor)], dim=1)
    return whole


def kinds_of_answer(model: Any, encoded: Encoded) -> dict[str, int]:
    """What the inputs that tell kinds of tokens must hold for an answer's, so that no position sees what it predicts.

    Which of 0 and 1 it is, is found by gradients, which are zero exactly where a token is not seen: in PaliGemma, where
    0 is the question that sees itself both ways, it is 1, and in others 0. Raises SeesAnswer where it is neither.
    """
    names = [name for name in encoded.inputs if name.endswith(_KINDS)]
    for kind in (0, 1) if names else (0,):
        kinds = dict.fromkeys(names, kind)
        try:
            if not _is_seen(model, encoded, kinds):
                return kinds
        except (StopIteration, RuntimeError, ValueError, IndexError):
            if kind == 0:
                raise
            break  # a kind that this model has for pictures alone
    raise SeesAnswer(
        f"{type(model).__name__} shows an answer's tokens to the positions that predict them, so that it could be "
        "trained to copy alone; give a model that reads its answers from left to right"
    )


def _is_seen(model: Any, encoded: Encoded, kinds: Mapping[str, int]) -> bool:
    """Do logits depend on a token of the answer that comes later?"""
    device = next(model.parameters()).device
    inputs = {name: tensor.to(device) for name, tensor in encoded.inputs.items()}
    tokens = inputs["input_ids"][:, -2:]  # any two
    embedded: list[Tensor] = []

    def capture(_module: torch.nn.Module, _arguments: Any, output: Tensor) -> Tensor:
        embedded.append(output.detach().requires_grad_(True))
        return embedded[-1]

    hook = model.get_input_embeddings().register_forward_hook(capture)
    try:
        with torch.enable_grad():
            whole = with_answers(inputs, tokens, torch.ones_like(tokens), kinds)
            logits = model(**whole, use_cache=False).logits[0, -3:-1].float()
            direction = torch.randn(logits.shape[-1], generator=torch.Generator().manual_seed(0)).to(device)
            first, second = logits @ direction  # what predicts the answer's two tokens
            of_first, of_second = (
                torch.autograd.grad(score, embedded[0], retain_graph=True)[0][0] for score in (first, second)
            )
    finally:
        hook.remove()
    return bool(of_first[-2:].any() or of_second[-1].any())

"""Inputs of one forward pass over prompts followed by their answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.observation import Encoded

_KINDS = "token_type_ids"  # suffix of inputs that give the kind of each token


class SeesAnswer(GazeVlmError):
    """Positions that predict the answer see it, so the model would learn to copy."""


def with_answers(
    inputs: Mapping[str, Tensor], tokens: Tensor, present: Tensor, kinds: Mapping[str, int]
) -> dict[str, Tensor]:
    """Return `inputs` of B prompts of equal length, followed by (B, A) answer `tokens`; padding where `present` is 0.

    kinds: value of each token kind input (`token_type_ids`) on answer tokens, by name; see `kinds_of_answer`.
    """
    whole = dict(inputs)
    batch, length = inputs["input_ids"].shape
    for name, tensor in inputs.items():
        if tensor.shape[:2] != (batch, length):
            continue  # an input about images
        if name == "input_ids":
            tail = tokens
        elif name == "attention_mask":
            tail = present
        elif tensor.ndim == 2:
            tail = torch.full_like(tokens, kinds.get(name, 0))
        else:  # which images a token may see: the same as for the prompt's last token
            tail = tensor[:, -1:].expand(-1, tokens.shape[1], *tensor.shape[2:])
        whole[name] = torch.cat([tensor, tail.to(tensor)], dim=1)
    return whole


def kinds_of_answer(model: Any, encoded: Encoded) -> dict[str, int]:
    """Return the token kind of answer tokens, by input name, with which no position sees the token that it predicts.

    Gradients show which of 0 and 1 it is, since they are zero exactly where a token is not seen. It is 1 in PaliGemma,
    where kind 0 is the question with bidirectional attention, and 0 in other models. Raises SeesAnswer where neither
    works.
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
            break  # this model uses the kind only for pictures
    raise SeesAnswer(
        f"{type(model).__name__} shows an answer's tokens to the positions that predict them, so training would "
        "only teach it to copy; use a model with causal attention over its answers"
    )


def _is_seen(model: Any, encoded: Encoded, kinds: Mapping[str, int]) -> bool:
    """Whether logits depend on a later token of the answer."""
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
            first, second = logits @ direction  # the positions that predict the answer's two tokens
            of_first, of_second = (
                torch.autograd.grad(score, embedded[0], retain_graph=True)[0][0] for score in (first, second)
            )
    finally:
        hook.remove()
    return bool(of_first[-2:].any() or of_second[-1].any())

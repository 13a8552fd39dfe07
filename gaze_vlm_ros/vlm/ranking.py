"""Ranks a closed set of answers by how likely the model is to give each of them, word for word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gaze_vlm_ros.vlm.attention_tap import KEYWORD, AttentionTap, enable_tap
from gaze_vlm_ros.vlm.observation import Encoded


@dataclass(frozen=True)
class Ranking:
    """What the model thinks of A answers to one question."""

    log_likelihoods: NDArray[np.float64]  # (A,) nats, of each complete answer, its end token included
    attention: NDArray[np.float64] | None  # (A, V) over the visual tokens while giving each answer; rows sum to one


@torch.inference_mode()
def rank(
    model: Any, encoded: Encoded, answers: Sequence[Sequence[int]], layers: tuple[int, ...] | None = None
) -> Ranking:
    """Score every answer (token ids from observation.answer_tokens) after the same question.

    Images and question are computed once; then all answers in one batch on top of their keys and values.
    layers: decoder layers to read the attention of; None = do not. Raises CannotTap.
    """
    device = next(model.parameters()).device
    inputs = {name: tensor.to(device) for name, tensor in encoded.inputs.items()}
    # The last token of the prompt goes with the answers: its row predicts their first tokens.
    ids = inputs["input_ids"]
    per_token = {name for name, tensor in inputs.items() if tensor.shape == ids.shape}
    prompt = {name: tensor[:, :-1] if name in per_token else tensor for name, tensor in inputs.items()}
    cache = model(**prompt, use_cache=True, logits_to_keep=1).past_key_values
    cache.batch_repeat_interleave(len(answers))

    targets, present = _padded(answers, device)
    last = ids[:, -1:].expand(len(answers), -1)
    tap = None
    options: dict[str, Any] = {}
    if layers:
        enable_tap(model)
        rows = torch.arange(targets.shape[1], device=device).expand(len(answers), -1)
        tap = options[KEYWORD] = AttentionTap(rows, encoded.visual.to(device), layers)
    logits = model(
        input_ids=torch.cat([last, targets[:, :-1]], dim=1),
        # No mask: padding stands behind an answer, where nothing that counts looks at it.
        past_key_values=cache,
        use_cache=True,
        **options,
    ).logits
    per_token_likelihood = torch.log_softmax(logits.double(), dim=-1).gather(2, targets[:, :, None])[:, :, 0]
    log_likelihoods = (per_token_likelihood * present).sum(dim=1).cpu().numpy()
    if tap is None:
        return Ranking(log_likelihoods, None)
    weights = present[:, :, None] / present.sum(dim=1)[:, None, None]
    attention = (tap.log_attention().double().exp() * weights).sum(dim=1)
    return Ranking(log_likelihoods, attention.cpu().numpy())


def _padded(answers: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """(A, L) token ids, and 1 where they are an answer's own."""
    longest = max(map(len, answers))
    targets = torch.tensor([[*answer, *[0] * (longest - len(answer))] for answer in answers], device=device)
    lengths = torch.tensor([len(answer) for answer in answers], device=device)
    return targets, (torch.arange(longest, device=device) < lengths[:, None]).double()

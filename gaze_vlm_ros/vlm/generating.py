"""Generate an open answer greedily, with its likelihood and attention."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gaze_vlm_ros.vlm.prompt import Prompt, copied
from gaze_vlm_ros.vlm.ranking import carried_on, summing_to_one, tap_for


@dataclass(frozen=True)
class Generated:
    """One generated answer."""

    tokens: list[int]  # including the end token
    log_likelihood: float  # nats, of all tokens, as ranking would score this answer
    ended: bool  # False = cut off at the most tokens allowed
    attention: NDArray[np.float64] | None  # (V,) over the visual tokens, mean over the answer; sums to one, or 0


@torch.inference_mode()
def generate_after(
    model: Any, prompt: Prompt, ends: Collection[int], most_tokens: int, layers: tuple[int, ...] | None = None
) -> Generated:
    """Decode greedily after a prompt that was read with the same layers, up to a token of `ends`.

    most_tokens: longest answer, in tokens. layers: decoder layers whose attention is read; None = no attention.
    """
    device = prompt.log_probabilities.device
    last = torch.tensor([prompt.length - 1], device=device)[None] if prompt.positions is None else prompt.positions
    cache, log_probabilities = copied(prompt.cache), prompt.log_probabilities
    rows = [prompt.attention.double()] if layers and prompt.attention is not None else []
    tokens: list[int] = []
    log_likelihood = 0.0
    while True:
        token = int(log_probabilities.argmax())
        tokens.append(token)
        log_likelihood += float(log_probabilities[token])
        if token in ends or len(tokens) == most_tokens:
            break
        tap, options = tap_for(model, prompt, layers, torch.zeros(1, 1, dtype=torch.long, device=device), len(tokens))
        logits = model(
            input_ids=torch.tensor([[token]], device=device),
            position_ids=last + len(tokens),
            past_key_values=cache,
            use_cache=True,
            **carried_on(prompt, 1, 1),
            **options,
        ).logits
        log_probabilities = logits[0, -1].double().log_softmax(dim=-1)
        if tap is not None:
            rows.append(tap.log_attention()[0, 0].double().exp())
    attention = summing_to_one(torch.stack(rows).sum(dim=0).cpu().numpy()) if rows else None
    return Generated(tokens, log_likelihood, tokens[-1] in ends, attention)

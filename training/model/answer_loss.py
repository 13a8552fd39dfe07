"""The language loss of answers, token by token; also of answers that are known only in part."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.data.batch import IGNORED, WhenTokens


def token_losses(logits: Tensor, answer_tokens: Tensor, when: WhenTokens | None = None) -> Tensor:
    """Return (B, L) -log p of each answer token, nats; 0 where it is IGNORED. A row's sum is that of its answer.

    A right-censored window counts, in place of its token at `when.position`, -log of the mass of everything that can
    still be true: later parts of the horizon, and nothing (discrete-time survival, Singer and Willett 1993).
    `when.adjustment` is added to the logits of the other windows there, as sampling changes the shares.

    logits: (B, L, vocabulary) at the positions that predict the answer. answer_tokens: (B, L).
    """
    losses = F.cross_entropy(logits.transpose(1, 2).float(), answer_tokens, ignore_index=IGNORED, reduction="none")
    if when is None:
        return losses
    place, tokens = when.position, when.tokens
    at_when = logits[:, place].float()
    adjusted = at_when.index_add(1, tokens, when.adjustment.to(at_when).expand(len(at_when), -1))
    chosen = F.cross_entropy(adjusted, answer_tokens[:, place], reduction="none")
    censored = when.remaining.any(dim=1)
    # Rows that are not censored take part with mass 1, so that no gradient is NaN.
    mass = torch.where(censored[:, None], when.remaining, torch.ones_like(when.remaining)).to(at_when)
    remaining = -torch.logsumexp(at_when.log_softmax(dim=1)[:, tokens] + mass.clamp(min=1e-12).log(), dim=1)
    first = torch.where(censored, remaining, chosen)
    return torch.cat([losses[:, :place], first[:, None], losses[:, place + 1 :]], dim=1)

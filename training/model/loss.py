"""The gaze regularizer: KL divergence between where the person looked and where the model attends."""

from __future__ import annotations

import torch
from torch import Tensor

from gaze_vlm_ros.vlm.attention_tap import HIDDEN, LEAST_VISIBLE


def gaze_regularizer(
    log_attention: Tensor,
    gaze: Tensor,
    row_mask: Tensor | None = None,
    *,
    frame_of_token: Tensor | None = None,
    reverse: bool = False,
) -> Tensor:
    """Return the mean KL(gaze ‖ attention) over the windows with gaze, a scalar in nats; exactly 0 if none has gaze.

    The regularizer of arXiv 2510.21356: sum_v g_v (log g_v - log a_v) with 0 log 0 = 0. Its gradient with respect to
    the logits of a is a - g. Gaze on tokens that a row cannot see is no target for it: both are given what it sees, and
    a row that sees none of the gazed tokens does not count.

    log_attention: (B, R, V) log-probabilities over the visual tokens; each row's exponentials sum to 1. Values below
        LEAST_VISIBLE are of tokens that the row does not see.
    gaze: (B, V) probabilities; each row sums to 1, or is all zero for a window without usable gaze, which is skipped.
    row_mask: (B, R) 1 for rows that count (those of the answer), 0 for padding; None = all rows count.
    frame_of_token: (V,) frame of each visual token. If given, both distributions are conditioned on each frame, and
        the KL is averaged over the frames with gaze; otherwise there is one KL over the whole window.
    reverse: compute KL(attention ‖ gaze). Gaze is then clamped to at least 1e-6, because it must not be zero where
        attention is not.
    """
    seen = log_attention > LEAST_VISIBLE
    target = gaze.to(log_attention)[:, None, :] * seen  # (B, R, V)
    if frame_of_token is None:
        kl, counts = _conditioned(log_attention, target, seen, reverse)
    else:
        parts = []
        for frame in frame_of_token.unique():
            own = frame_of_token == frame
            inside = torch.log_softmax(log_attention[:, :, own], dim=-1)
            parts.append(_conditioned(inside, target[:, :, own], seen[:, :, own], reverse))
        frames = torch.stack([counts for _, counts in parts]).sum(0)
        kl = torch.stack([kl * counts for kl, counts in parts]).sum(0) / frames.clamp(min=1)
        counts = (frames > 0).to(kl)
    if row_mask is not None:
        counts = counts * row_mask.to(counts)
    # Average the rows of each window first, so that long answers do not weigh more than short ones.
    rows = counts.sum(dim=-1)
    per_window = (kl * counts).sum(dim=-1) / rows.clamp(min=1)
    return per_window.sum() / (rows > 0).sum().clamp(min=1)


def without_tokens(log_attention: Tensor, left_out: Tensor) -> Tensor:
    """Return (B, R, V) log attention given that it does not fall on the tokens `left_out`, (V,) bool; these are hidden.

    gaze_regularizer then compares it with gaze given the same.
    """
    hidden = left_out | (log_attention <= LEAST_VISIBLE)
    return torch.log_softmax(log_attention.masked_fill(hidden, HIDDEN), dim=-1).masked_fill(hidden, HIDDEN)


def _conditioned(log_attention: Tensor, target: Tensor, seen: Tensor, reverse: bool) -> tuple[Tensor, Tensor]:
    """Return the (B, R) divergence from attention of gaze given that it falls on these tokens, and 1 where it does.

    log_attention, target, seen: (B, R, V); target is zero where it is not seen.
    """
    mass = target.sum(dim=-1, keepdim=True)
    gaze = target / mass.clamp(min=torch.finfo(target.dtype).tiny)
    if reverse:
        log_gaze = gaze.clamp(min=1e-6).log()
        kl = (log_attention.exp() * torch.where(seen, log_attention - log_gaze, 0.0)).sum(dim=-1)
    else:
        # xlogy defines 0 log 0 = 0, with a zero gradient.
        kl = (torch.xlogy(gaze, gaze) - gaze * log_attention).sum(dim=-1)
    return kl, (mass[..., 0] > 0).to(kl)

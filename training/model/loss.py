"""The gaze regularizer: KL divergence between where the person looked and where the model attends."""

from __future__ import annotations

import torch
from torch import Tensor


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
    the logits of a is a - g.

    log_attention: (B, R, V) log-probabilities over the visual tokens; each row's exponentials sum to 1.
    gaze: (B, V) probabilities; each row sums to 1, or is all zero for a window without usable gaze, which is skipped.
    row_mask: (B, R) 1 for rows that count (those of the answer), 0 for padding; None = all rows count.
    frame_of_token: (V,) frame of each visual token. If given, both distributions are conditioned on each frame, and
        the KL is averaged over the frames with gaze; otherwise there is one KL over the whole window.
    reverse: compute KL(attention ‖ gaze). Gaze is then clamped to at least 1e-6, because it must not be zero where
        attention is not.
    """
    gaze = gaze.to(log_attention)
    if frame_of_token is None:
        kl = _divergence(log_attention, gaze[:, None, :], reverse)
        counts = (gaze.sum(dim=-1) > 0).to(kl)[:, None].expand_as(kl)
    else:
        parts = [_on_frame(log_attention, gaze, frame_of_token == frame, reverse) for frame in frame_of_token.unique()]
        kl = torch.stack([part * present for part, present in parts]).sum(0)
        frames = torch.stack([present for _, present in parts]).sum(0)
        kl = kl / frames.clamp(min=1)
        counts = (frames > 0).to(kl).expand_as(kl)
    if row_mask is not None:
        counts = counts * row_mask.to(counts)
    # Average the rows of each window first, so that long answers do not weigh more than short ones.
    rows = counts.sum(dim=-1)
    per_window = (kl * counts).sum(dim=-1) / rows.clamp(min=1)
    return per_window.sum() / (rows > 0).sum().clamp(min=1)


def _divergence(log_attention: Tensor, gaze: Tensor, reverse: bool) -> Tensor:
    """Return the (B, R) KL of (B, R, V) log-probabilities and (B, 1, V) probabilities."""
    if reverse:
        log_gaze = gaze.clamp(min=1e-6).log()
        return (log_attention.exp() * (log_attention - log_gaze)).sum(dim=-1)
    # xlogy defines 0 log 0 = 0, with a zero gradient.
    return (torch.xlogy(gaze, gaze) - gaze * log_attention).sum(dim=-1)


def _on_frame(log_attention: Tensor, gaze: Tensor, of_frame: Tensor, reverse: bool) -> tuple[Tensor, Tensor]:
    """Return the (B, R) divergence of the two distributions given one frame, and (B, 1) whether it has gaze."""
    mass = gaze[:, of_frame].sum(dim=-1, keepdim=True)
    conditioned = gaze[:, of_frame] / mass.clamp(min=torch.finfo(gaze.dtype).tiny)
    inside = torch.log_softmax(log_attention[:, :, of_frame], dim=-1)
    return _divergence(inside, conditioned[:, None, :], reverse), (mass > 0).to(gaze)

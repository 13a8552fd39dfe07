"""One forward pass over windows with their answers: the language loss, and the KL of gaze from attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gaze_vlm_ros.vlm.attention_tap import AttentionTap
from gaze_vlm_ros.vlm.cross_attention import crossing_layers
from training.data.batch import IGNORED, Batch
from training.model.answer_loss import token_losses
from training.model.distillation import teacher_divergence
from training.model.gaze_block import gaze_block_of
from training.model.gaze_head import gaze_head_of
from training.model.loss import gaze_regularizer, without_tokens
from training.model.supervision import supervised_heads, supervised_layers
from training.model.trainable import autocast
from training.settings import Settings


@dataclass(frozen=True)
class Losses:
    """Losses of one pass, nats."""

    lm: Tensor  # scalar
    kl: Tensor  # scalar
    of_windows: Tensor  # (B,) mean language loss of each window's tokens, unweighted, without gradient
    right: Tensor  # (B,) bool, whether greedy generation gives the answer: each token is the most likely one


def answer_losses(model: Any, batch: Batch, settings: Settings, with_attention: bool) -> tuple[Tensor, Tensor]:
    """Return (language loss, KL) of `losses`, both scalars, in nats."""
    found = losses(model, batch, settings, with_attention)
    return found.lm, found.kl


def losses(model: Any, batch: Batch, settings: Settings, with_attention: bool, weights: Tensor | None = None) -> Losses:
    """Return the losses of one pass.

    Language loss: mean of answer_loss.token_losses over all answer tokens, each window's times its weight. KL: see
    model.loss.gaze_regularizer, from the attention of the rows that predict the answer, from the gaze block or from the
    gaze head; 0 without `with_attention`, or if no window has gaze. With a teacher it is model.distillation's. The
    training loss is their weighted sum L_LM + λ KL (arXiv 2510.21356).

    weights: (B,) factors of the windows' language losses; None = 1.
    """
    # A head takes part in every pass, if only with weight 0: processes that share a model expect all its gradients.
    with_attention = (with_attention or gaze_head_of(model) is not None) and batch.taught is None
    logits, log_attention, row_mask = run_pass(model, batch, settings, with_attention)
    present = batch.answer_tokens != IGNORED
    of_windows = token_losses(logits, batch.answer_tokens, batch.when).sum(dim=1)
    weighted = of_windows if weights is None else of_windows * weights.to(of_windows)
    lm = weighted.sum() / present.sum().clamp(min=1)
    means = (of_windows / present.sum(dim=1).clamp(min=1)).detach()
    right = ((logits.argmax(dim=-1) == batch.answer_tokens) | ~present).all(dim=1)
    if batch.taught is not None:
        return Losses(lm, teacher_divergence(logits, batch.taught), means, right)
    if log_attention is None:
        return Losses(lm, lm.new_zeros(()), means, right)
    if batch.left_out is not None:
        log_attention = without_tokens(log_attention, batch.left_out)
    frames = batch.frame_of_token if settings.kl_per_frame else None
    reverse = settings.kl_direction == "reverse"
    kl = gaze_regularizer(log_attention, batch.gaze, row_mask, frame_of_token=frames, reverse=reverse)
    return Losses(lm, kl, means, right)


def run_pass(
    model: Any, batch: Batch, settings: Settings, with_attention: bool
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return logits, log attention and row mask of one pass.

    logits: (B, A, vocabulary) at the positions that predict the answer. log attention: (B, R, V) of those positions,
    or of the gaze block, or what the gaze head predicts; None without `with_attention`. row mask: (B, R) which rows
    count; None = all.
    """
    length = batch.inputs["input_ids"].shape[1]
    answer = batch.answer_tokens.shape[1]
    tap = None
    options: dict[str, Any] = {}
    block, head = gaze_block_of(model), gaze_head_of(model)
    if with_attention and block is None and head is None:
        # The position before a token predicts it.
        rows = torch.arange(length - answer - 1, length - 1, device=batch.answer_tokens.device)
        total = None if crossing_layers(getattr(model, "module", model)) else length
        tap = AttentionTap(rows.expand(batch.size, -1), batch.visual, supervised_layers(model, settings), total)
        options["attention_tap"] = tap
    # Compute only the logits that the loss needs: those of all positions would be the largest tensor of the pass.
    with autocast(model, settings):
        output = model(**batch.inputs, logits_to_keep=answer + 1, use_cache=False, **options)
    logits = output.logits[:, -answer - 1 : -1]
    if block is not None and with_attention:
        assert block.log_attention is not None
        return logits, block.log_attention[:, None], None
    if head is not None and with_attention:
        assert head.log_gaze is not None
        return logits, head.log_gaze[:, None], None
    if tap is None:
        return logits, None, None
    counts = batch.answer_tokens != IGNORED
    if settings.kl_rows == "first":
        counts = counts & (torch.arange(answer, device=counts.device) == 0)
    if settings.kl_heads != "each":
        return logits, tap.log_attention(supervised_heads(model, settings)), counts
    heads = tap.per_head()  # each head's rows count as rows of their own
    return logits, heads.flatten(1, 2), counts.repeat(1, heads.shape[1])

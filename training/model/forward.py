"""One forward pass over windows with their answers: the language loss, and the KL of gaze from attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gaze_vlm_ros.vlm.attention_tap import AttentionTap
from training.data.batch import IGNORED, Batch
from training.model.answer_loss import token_losses
from training.model.gaze_block import gaze_block_of
from training.model.loss import gaze_regularizer
from training.model.supervision import supervised_heads, supervised_layers
from training.model.trainable import autocast
from training.settings import Settings


def answer_losses(model: Any, batch: Batch, settings: Settings, with_attention: bool) -> tuple[Tensor, Tensor]:
    """Return (language loss, KL), both scalars, in nats.

    Language loss: mean of answer_loss.token_losses over all answer tokens. KL: see model.loss.gaze_regularizer, from
    the attention of the rows that predict the answer; 0 without `with_attention`, or if no window has gaze. The
    training loss is their weighted sum L_LM + λ KL (arXiv 2510.21356).
    """
    logits, log_attention, row_mask = _forward(model, batch, settings, with_attention)
    tokens = (batch.answer_tokens != IGNORED).sum()
    lm = token_losses(logits, batch.answer_tokens, batch.when).sum() / tokens
    if log_attention is None:
        return lm, lm.new_zeros(())
    frames = batch.frame_of_token if settings.kl_per_frame else None
    reverse = settings.kl_direction == "reverse"
    return lm, gaze_regularizer(log_attention, batch.gaze, row_mask, frame_of_token=frames, reverse=reverse)


def _forward(
    model: Any, batch: Batch, settings: Settings, with_attention: bool
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return logits, log attention and row mask of one pass.

    logits: (B, A, vocabulary) at the positions that predict the answer. log attention: (B, R, V) of those positions,
    or of the gaze block; None without `with_attention`. row mask: (B, R) which rows count; None = all.
    """
    length = batch.inputs["input_ids"].shape[1]
    answer = batch.answer_tokens.shape[1]
    tap = None
    options: dict[str, Any] = {}
    block = gaze_block_of(model)
    if with_attention and block is None:
        # The position before a token predicts it.
        rows = torch.arange(length - answer - 1, length - 1, device=batch.answer_tokens.device)
        tap = AttentionTap(rows.expand(batch.size, -1), batch.visual, supervised_layers(model, settings))
        options["attention_tap"] = tap
    # Compute only the logits that the loss needs: those of all positions would be the largest tensor of the pass.
    with autocast(model, settings):
        output = model(**batch.inputs, logits_to_keep=answer + 1, use_cache=False, **options)
    logits = output.logits[:, -answer - 1 : -1]
    if block is not None and with_attention:
        assert block.log_attention is not None
        return logits, block.log_attention[:, None], None
    if tap is None:
        return logits, None, None
    counts = batch.answer_tokens != IGNORED
    if settings.kl_rows == "first":
        counts = counts & (torch.arange(answer, device=counts.device) == 0)
    if settings.kl_heads != "each":
        return logits, tap.log_attention(supervised_heads(model, settings)), counts
    heads = tap.per_head()  # each head's rows count as rows of their own
    return logits, heads.flatten(1, 2), counts.repeat(1, heads.shape[1])

"""One forward pass over windows with their answers: what the answer costs, and where the model looks meanwhile."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gaze_vlm_ros.vlm.attention_tap import AttentionTap
from training.data.batch import IGNORED, Batch
from training.model.gaze_block import gaze_block_of
from training.model.loss import gaze_regularizer
from training.model.trainable import autocast, supervised_heads, supervised_layers
from training.settings import Settings


def answer_losses(model: Any, batch: Batch, settings: Settings, with_attention: bool) -> tuple[Tensor, Tensor]:
    """(language loss, KL), both scalars.

    Language loss: mean -log p over all tokens of the answers. KL: of gaze from the attention of the rows that predict
    them, mean over the windows with gaze; 0 without attention, or without such a window.
    """
    logits, log_attention, row_mask = _forward(model, batch, settings, with_attention)
    lm = F.cross_entropy(logits.flatten(0, 1).float(), batch.answer_tokens.flatten(), ignore_index=IGNORED)
    if log_attention is None:
        return lm, lm.new_zeros(())
    frames = batch.frame_of_token if settings.kl_per_frame else None
    reverse = settings.kl_direction == "reverse"
    return lm, gaze_regularizer(log_attention, batch.gaze, row_mask, frame_of_token=frames, reverse=reverse)


def _forward(
    model: Any, batch: Batch, settings: Settings, with_attention: bool
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """(B, A, vocabulary) logits at the positions that predict the answer, and what is led by gaze.

    That is (B, R, V) log attention, of those positions or of the gaze block, and (B, R) which rows count.
    """
    length = batch.inputs["input_ids"].shape[1]
    answer = batch.answer_tokens.shape[1]
    tap = None
    options: dict[str, Any] = {}
    block = gaze_block_of(model)
    if with_attention and block is None:
        # A token is predicted by the position before it.
        rows = torch.arange(length - answer - 1, length - 1, device=batch.answer_tokens.device)
        tap = AttentionTap(rows.expand(batch.size, -1), batch.visual, supervised_layers(model, settings))
        options["attention_tap"] = tap
    # Logits of all positions would be the largest tensor of the whole pass.
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
    heads = tap.per_head()  # every head's rows count as rows
    return logits, heads.flatten(1, 2), counts.repeat(1, heads.shape[1])

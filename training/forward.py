"""One forward pass over windows with their answers: what the answer costs, and where the model looks meanwhile."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gaze_vlm_ros.vlm.attention_tap import AttentionTap
from training.data import IGNORED, Batch
from training.loss import gaze_regularizer
from training.model import autocast, led_layers
from training.settings import Settings


def answer_losses(model: Any, batch: Batch, settings: Settings, with_attention: bool) -> tuple[Tensor, Tensor]:
    """(language loss, KL), both scalars.

    Language loss: mean -log p over all tokens of the answers. KL: of gaze from the attention of the rows that predict
    them, mean over the windows with gaze; 0 without attention, or without such a window.
    """
    logits, tap = _forward(model, batch, settings, with_attention)
    lm = F.cross_entropy(logits.flatten(0, 1).float(), batch.answer_tokens.flatten(), ignore_index=IGNORED)
    if tap is None:
        return lm, lm.new_zeros(())
    frames = batch.frame_of_token if settings.kl_per_frame else None
    return lm, gaze_regularizer(tap.log_attention(), batch.gaze, batch.answer_tokens != IGNORED, frame_of_token=frames)


def _forward(model: Any, batch: Batch, settings: Settings, with_attention: bool) -> tuple[Tensor, AttentionTap | None]:
    """(B, A, vocabulary) logits at the positions that predict the answer, and what those positions attended to."""
    length = batch.inputs["input_ids"].shape[1]
    answer = batch.answer_tokens.shape[1]
    tap = None
    options: dict[str, Any] = {}
    if with_attention:
        # A token is predicted by the position before it.
        rows = torch.arange(length - answer - 1, length - 1, device=batch.answer_tokens.device)
        tap = AttentionTap(rows.expand(batch.size, -1), batch.visual, led_layers(model, settings))
        options["attention_tap"] = tap
    # Logits of all positions would be the largest tensor of the whole pass.
    with autocast(model, settings):
        output = model(**batch.inputs, logits_to_keep=answer + 1, use_cache=False, **options)
    return output.logits[:, -answer - 1 : -1], tap

"""The optimizer and its learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from training.settings import Settings


def make_optimizer(weights: Mapping[str, torch.nn.Parameter], settings: Settings) -> torch.optim.Optimizer:
    """Return AdamW for `weights`, with betas 0.9 and 0.95."""
    return torch.optim.AdamW(decay_groups(weights, settings.weight_decay), settings.learning_rate, betas=(0.9, 0.95))


def decay_groups(weights: Mapping[str, torch.nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Return the optimizer's parameter groups: matrices decay, biases and norms do not."""
    matrices = [weight for weight in weights.values() if weight.ndim >= 2]
    vectors = [weight for weight in weights.values() if weight.ndim < 2]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def rate_factor(step: int, settings: Settings) -> float:
    """Return the learning rate at `step` as a share of the highest: linear warm-up, then cosine to minimum_rate."""
    rise = settings.warmup * settings.steps
    if step < rise:
        return (step + 1) / (rise + 1)
    progress = (step - rise) / max(1.0, settings.steps - rise)
    return settings.minimum_rate + (1 - settings.minimum_rate) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

"""Join the model inputs of single frames into those of several frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def join_like(whole: Any, parts: Sequence[Any]) -> Any:
    """Join `parts`, one per frame, into the structure of `whole`, which stands for all frames at once."""
    if isinstance(whole, Tensor):
        if len(parts) == 1:
            return parts[0]
        axes = [axis for axis, (a, b) in enumerate(zip(whole.shape, parts[0].shape, strict=True)) if a != b]
        return torch.cat(list(parts), dim=axes[0]) if axes else parts[0]
    if isinstance(whole, dict):
        joined = {key: join_like(value, [part[key] for part in parts]) for key, value in whole.items()}
        return type(whole)(**joined) if type(whole) is not dict else joined
    if isinstance(whole, list | tuple):
        if len(whole) == sum(map(len, parts)):  # one entry per frame or picture
            return type(whole)(entry for part in parts for entry in part)
        return type(whole)(join_like(entry, [part[n] for part in parts]) for n, entry in enumerate(whole))
    return whole

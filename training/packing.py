"""Keeps the model inputs of many windows in little memory, and gives back the very same numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch


class PackedInputs:
    """Tensors of N windows by name, e.g. pixel_values; the first axis is the one that a batch is joined along.

    Image processors scale and normalize 8-bit pixels, so a tensor of theirs holds few different values: it is kept as a
    table of these and one small index each. That is exact, and an eighth to half of the size.
    """

    def __init__(self) -> None:
        # One entry a window: name -> (table, codes), or the tensor itself where a table would not save anything.
        self._windows: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self._windows)

    def append(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Add one window."""
        self._windows.append({name: _pack(tensor) for name, tensor in tensors.items()})

    def take(self, rows: Iterable[int]) -> dict[str, torch.Tensor]:
        """The windows `rows`, joined."""
        windows = [{name: _unpack(packed) for name, packed in self._windows[row].items()} for row in rows]
        return {name: torch.cat([window[name] for window in windows]) for name in windows[0]}

    def state(self) -> list[dict[str, Any]]:
        """All of it, as torch.save takes it and torch.load(weights_only=True) gives it back."""
        return self._windows

    @classmethod
    def from_state(cls, state: list[dict[str, Any]]) -> PackedInputs:
        packed = cls()
        packed._windows = state
        return packed


def _pack(tensor: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    if tensor.numel() < 4096 or tensor.dtype not in (torch.float32, torch.int64):
        return tensor.clone()
    # Floats are compared as bits, so that 0.0 and -0.0 stay apart.
    bits = tensor.view(torch.int32) if tensor.dtype == torch.float32 else tensor
    table, codes = np.unique(bits.numpy(), return_inverse=True)
    if len(table) > 65536:
        return tensor.clone()
    small = np.uint8 if len(table) <= 256 else np.uint16
    return torch.from_numpy(table).view(tensor.dtype), torch.from_numpy(codes.reshape(tensor.shape).astype(small))


def _unpack(packed: torch.Tensor | tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    if isinstance(packed, torch.Tensor):
        return packed
    table, codes = packed
    return table[codes.to(torch.int64)]

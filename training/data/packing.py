"""Keeps a tensor of model inputs in little space, and gives back the very same numbers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

_SMALL = 4096  # entries; below, a table would not save anything
_MOST_VALUES = 65_536  # that 16 bits can count


class Packed(NamedTuple):
    """A tensor as arrays: its values themselves, or a table of the different ones and a small index for each entry."""

    shape: tuple[int, ...]
    table: NDArray[np.generic] | None  # None: `codes` are the values
    codes: NDArray[np.generic]


def pack(tensor: torch.Tensor) -> Packed:
    """Image processors scale and normalize 8-bit pixels, so a tensor of theirs holds few different values.

    Exact, and an eighth to half of the size.
    """
    values = tensor.contiguous().numpy()
    if values.size < _SMALL or values.dtype not in (np.float32, np.int64):
        return Packed(values.shape, None, values)
    # Floats are compared as bits, so that 0.0 and -0.0 stay apart. By hashing: sorting takes ten times as long.
    bits = values.reshape(-1).view(np.int32 if values.dtype == np.float32 else np.int64)
    encoded = pa.array(bits).dictionary_encode()
    table = encoded.dictionary.to_numpy()
    if len(table) > _MOST_VALUES:
        return Packed(values.shape, None, values)
    codes = encoded.indices.to_numpy().astype(np.uint8 if len(table) <= 256 else np.uint16)
    return Packed(values.shape, table.view(values.dtype), codes)


def unpack(packed: Packed) -> torch.Tensor:
    """The tensor that was packed; its memory is its own."""
    values = packed.codes.copy() if packed.table is None else packed.table[packed.codes]
    return torch.from_numpy(values.reshape(packed.shape))

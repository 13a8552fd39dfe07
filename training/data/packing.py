"""Pack a tensor of model inputs into little space, without loss."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

_SMALL = 4096  # entries below which a table saves nothing
_MOST_VALUES = 65_536  # as many as a 16-bit index can count


class Packed(NamedTuple):
    """A tensor as its values, or as a table of its distinct values and an index for each entry."""

    shape: tuple[int, ...]
    table: NDArray[np.generic] | None  # None: `codes` holds the values themselves
    codes: NDArray[np.generic]


def pack(tensor: torch.Tensor) -> Packed:
    """Pack a tensor exactly, to an eighth to half of its size.

    Image processors scale and normalize 8-bit pixels, so their tensors have few distinct values.
    """
    values = tensor.contiguous().numpy()
    if values.size < _SMALL or values.dtype not in (np.float32, np.int64):
        return Packed(values.shape, None, values)
    # Compare floats as bits, to keep 0.0 and -0.0 apart. Encode by hashing: sorting takes ten times as long.
    bits = values.reshape(-1).view(np.int32 if values.dtype == np.float32 else np.int64)
    encoded = pa.array(bits).dictionary_encode()
    table = encoded.dictionary.to_numpy()
    if len(table) > _MOST_VALUES:
        return Packed(values.shape, None, values)
    codes = encoded.indices.to_numpy().astype(np.uint8 if len(table) <= 256 else np.uint16)
    return Packed(values.shape, table.view(values.dtype), codes)


def unpack(packed: Packed) -> torch.Tensor:
    """Return the packed tensor, with memory of its own."""
    values = packed.codes.copy() if packed.table is None else packed.table[packed.codes]
    return torch.from_numpy(values.reshape(packed.shape))

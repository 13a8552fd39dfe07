"""One Arrow file with the tensors of many windows, read through a memory map, so that unused rows take no memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.storage.atomic import replacing
from training.data.packing import Packed, pack, unpack

# Each record batch of Arrow's IPC file format is one window; each row of it is one tensor.
_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("dtype", pa.string()),  # NumPy's name of the type, little endian
        ("shape", pa.list_(pa.int64())),
        ("table", pa.large_binary()),  # null: `codes` holds the values themselves
        ("codes_dtype", pa.string()),
        ("codes", pa.large_binary()),
    ]
)


class CannotStore(GazeVlmError):
    """The cache of prepared windows cannot be written."""


class PreparedArraysWriter:
    """Write a file of windows, each a mapping from names to tensors. Keeps one window in memory."""

    def __init__(self, path: Path) -> None:
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._file, _SCHEMA)

    def append(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Write one window."""
        rows = [(name, pack(tensor)) for name, tensor in tensors.items()]
        columns = [
            [name for name, _ in rows],
            [_dtype(packed.codes if packed.table is None else packed.table) for _, packed in rows],
            [list(packed.shape) for _, packed in rows],
            [None if packed.table is None else packed.table.tobytes() for _, packed in rows],
            [_dtype(packed.codes) for _, packed in rows],
            [packed.codes.tobytes() for _, packed in rows],
        ]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
        self._writer.write_batch(pa.record_batch(arrays, schema=_SCHEMA))

    def __enter__(self) -> PreparedArraysWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()
        self._file.close()


class PreparedArrays:
    """A file that PreparedArraysWriter completed: a sequence of windows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader = pa.ipc.open_file(pa.memory_map(str(path)))

    def __len__(self) -> int:
        return int(self._reader.num_record_batches)

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        """Return the tensors of one window, copied out of the file."""
        window = self._reader.get_batch(row)
        dtypes, shapes = window["dtype"].to_pylist(), window["shape"].to_pylist()
        tensors = {}
        for index, name in enumerate(window["name"].to_pylist()):
            codes = np.frombuffer(window["codes"][index].as_buffer(), window["codes_dtype"][index].as_py())
            table = window["table"][index]
            values = np.frombuffer(table.as_buffer(), dtypes[index]) if table.is_valid else None
            tensors[name] = unpack(Packed(tuple(shapes[index]), values, codes))
        return tensors


def _dtype(values: np.ndarray) -> str:
    return values.dtype.newbyteorder("<").str


@contextmanager
def store_complete(path: Path) -> Iterator[Path]:
    """Yield a name to write to, which becomes `path` if the block succeeds. Raises CannotStore for disk errors."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as unfinished:
            yield unfinished
    except OSError as error:
        raise CannotStore(
            f"cannot write prepared windows to {path.parent}: {error.strerror or error}; free space, or give --cache "
            "a folder on another disk"
        ) from None


def is_whole(path: Path) -> bool:
    """Return whether a file of the cache is there and can be opened; say so, and remove it, where it is damaged.

    It is then made again. Each ending has its own format: .arrow, .json, .npy.
    """
    if not path.is_file():
        return False
    try:
        if path.suffix == ".arrow":
            PreparedArrays(path)
        elif path.suffix == ".npy":
            np.load(path, mmap_mode="r")
        else:
            json.loads(path.read_text(encoding="utf-8"))
    except Exception as error:  # pyarrow and NumPy raise many kinds on files that were cut off
        print(f"{path} is damaged ({type(error).__name__}) and is made again", file=sys.stderr, flush=True)
        path.unlink(missing_ok=True)
        return False
    return True

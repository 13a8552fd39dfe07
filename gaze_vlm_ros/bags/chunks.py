"""Chunks of one MCAP file: find their bytes, decompress them and verify their checksums. https://mcap.dev/spec"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from mcap.records import ChunkIndex

from gaze_vlm_ros.bags.compression import NotDecompressed, decompress
from gaze_vlm_ros.bags.errors import RECOVER_HINT, BagDamaged, NotABag

RECORD_HEADER_BYTES = 9  # opcode and length of every record
_FIELDS_BYTES = 28  # of a chunk, before the name of its compression
_CRC_OFFSET = 24  # in these fields
_DECOMPRESSED_KEPT = 4  # neighbouring messages are read together


class ChunkReader:
    """Content of the chunks of one file that is mapped into memory. Each chunk is verified when it is first read."""

    def __init__(self, path: Path, data: mmap.mmap, indexes: Sequence[ChunkIndex]) -> None:
        self._path, self._data, self._indexes = path, data, indexes
        self._verified: set[int] = set()  # uncompressed chunks
        self._decompressed = lru_cache(maxsize=_DECOMPRESSED_KEPT)(self._decompress)

    def read(self, number: int) -> memoryview:
        """Return the records of chunk `number`. Raises BagDamaged, and NotABag for an unknown compression."""
        self._require_whole()
        index = self._indexes[number]
        if index.compression:
            return self._decompressed(number)
        view = self._stored(index)
        if number not in self._verified:
            self._verify(index, view)
            self._verified.add(number)
        return view

    def clear(self) -> None:
        """Free decompressed chunks."""
        self._decompressed.cache_clear()

    def _require_whole(self) -> None:
        """Raise BagDamaged if the file was cut since it was mapped: to touch what is gone ends the process (SIGBUS)."""
        if (left := self._data.size()) < len(self._data):
            raise BagDamaged(
                f"{self._path} was cut while it was being read: {left} of {len(self._data)} bytes are left; "
                f"copy it again from its source, or save the rest with {RECOVER_HINT}"
            )

    def _stored(self, index: ChunkIndex) -> memoryview:
        start = index.chunk_start_offset + RECORD_HEADER_BYTES + _FIELDS_BYTES + 4 + len(index.compression) + 8
        return memoryview(self._data)[start : start + index.compressed_size]

    def _decompress(self, number: int) -> memoryview:
        index = self._indexes[number]
        if index.compression not in ("zstd", "lz4"):
            raise NotABag(f"{self._path}: chunks are compressed by {index.compression!r}, expected zstd or lz4")
        try:
            view = memoryview(decompress(self._stored(index), index.compression, index.uncompressed_size))
        except NotDecompressed as error:
            raise BagDamaged(
                f"{self._path}: the chunk at byte {index.chunk_start_offset} does not decompress ({error}); "
                f"save the rest with {RECOVER_HINT}"
            ) from None
        self._verify(index, view)
        return view

    def _verify(self, index: ChunkIndex, view: memoryview) -> None:
        offset = index.chunk_start_offset + RECORD_HEADER_BYTES + _CRC_OFFSET
        (expected,) = struct.unpack_from("<I", self._data, offset)
        if expected and zlib.crc32(view) != expected:
            raise BagDamaged(
                f"{self._path}: the chunk at byte {index.chunk_start_offset} fails its checksum; the file was changed "
                f"after recording; copy it again from its source, or save the rest with {RECOVER_HINT}"
            )

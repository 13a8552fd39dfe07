"""One MCAP file, read by memory map and message index."""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import lz4.frame
import numpy as np
import zstandard
from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap.records import ChunkIndex, Schema
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError

MAGIC = b"\x89MCAP0\r\n"
SQLITE_MAGIC = b"SQLite format 3\0"
# Sizes of MCAP records, https://mcap.dev/spec: opcode and length; a chunk's fields before its compression's name; a
# message's before its data.
_RECORD_HEADER = 9
_CHUNK_FIELDS = 28
_MESSAGE_FIELDS = 22
_FOOTER = struct.Struct("<BQQQI")  # opcode, length, where the summary begins, where its offsets begin, CRC-32
_MESSAGE = struct.Struct("<BQHIQQ")  # opcode, length, channel, sequence number, log time, publish time
_MESSAGE_OPCODE, _MESSAGE_INDEX_OPCODE = 5, 7


class NotABag(GazeVlmError):
    """It is there, and it is not a bag that can be read."""


class BagDamaged(GazeVlmError):
    """The bag was cut off, or its bytes changed."""


class McapFile:
    """One indexed MCAP file, mapped into memory; pages that are not in use belong to the operating system."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            stream = path.open("rb")
        except OSError as error:
            raise NotABag(f"{path} cannot be read: {error.strerror}; give a bag folder, or an .mcap file") from None
        with stream:
            begin = stream.read(len(SQLITE_MAGIC))
            if begin == SQLITE_MAGIC:
                raise NotABag(sqlite_text(path))
            if begin[: len(MAGIC)] != MAGIC[: len(begin)]:
                raise NotABag(f"{path} is not an MCAP file: it does not begin with MCAP's magic bytes")
            if path.stat().st_size < 2 * len(MAGIC) + _FOOTER.size:
                raise BagDamaged(_cut_off(path))
            self.data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            if self.data[-len(MAGIC) :] != MAGIC:
                raise BagDamaged(_cut_off(path))
            self._verify_summary()
            stream.seek(0)
            reader = make_reader(stream)
            try:
                summary = reader.get_summary()
                self.records = [(record.name, record.metadata) for record in reader.iter_metadata()]
            except (McapError, struct.error, ValueError, EOFError) as error:
                raise self._damaged_index(f"{type(error).__name__}: {error}") from None
        if summary is None or (not summary.chunk_indexes and summary.statistics and summary.statistics.message_count):
            raise NotABag(f"{path} has no index; {RECOVER_HINT} writes one")
        self.message_count = summary.statistics.message_count if summary.statistics else None
        self.channels = summary.channels
        self.schemas: dict[int, Schema] = summary.schemas
        self.chunks: Sequence[ChunkIndex] = summary.chunk_indexes
        self._verified: set[int] = set()
        self._decompressed = lru_cache(maxsize=4)(self._decompress)  # neighbours are read together

    def message_index(self, chunk: ChunkIndex, channel_id: int) -> NDArray[np.uint64]:
        """(N, 2): log time and offset in the chunk."""
        start = chunk.message_index_offsets[channel_id]
        try:
            opcode, length, channel, size = struct.unpack_from("<BQHI", self.data, start)
            if (opcode, length, channel, size % 16) != (_MESSAGE_INDEX_OPCODE, size + 6, channel_id, 0):
                raise ValueError
            return np.frombuffer(self.data, "<u8", size // 8, start + _RECORD_HEADER + 6).reshape(-1, 2)
        except (struct.error, ValueError):
            raise self._damaged_index(f"no message index at byte {start}") from None

    def message(self, chunk_number: int, offset: int, topic: str, log_ns: int) -> tuple[int, int, memoryview]:
        """(sequence, publish time ns, serialized message). Raises BagDamaged where it is not what the index says."""
        chunk = self._chunk(chunk_number)
        try:
            opcode, length, channel, sequence, found_ns, publish_ns = _MESSAGE.unpack_from(chunk, offset)
        except struct.error:
            opcode = length = channel = sequence = found_ns = publish_ns = 0
        # Checksums protect chunks, and not the message indexes behind them.
        if opcode != _MESSAGE_OPCODE or found_ns != log_ns or self.topic_of(channel) != topic:
            raise self._damaged_index(f"no message of {topic} at byte {offset} of chunk {chunk_number}")
        start = offset + _RECORD_HEADER
        return sequence, publish_ns, chunk[start + _MESSAGE_FIELDS : start + length]

    def topic_of(self, channel_id: int) -> str | None:
        channel = self.channels.get(channel_id)
        return channel.topic if channel else None

    def _verify_summary(self) -> None:
        """Raises BagDamaged unless the checksum of schemas, channels and indexes is right, or was left out."""
        footer = len(self.data) - len(MAGIC) - _FOOTER.size
        _, _, start, _, expected = _FOOTER.unpack_from(self.data, footer)
        summed = self.data[start or footer : footer + _FOOTER.size - 4]
        if expected and zlib.crc32(summed) != expected:
            raise self._damaged_index("it fails its checksum")

    def _damaged_index(self, how: str) -> BagDamaged:
        return BagDamaged(f"{self.path}: its index is damaged ({how}); {RECOVER_HINT} writes a new one")

    def _chunk(self, number: int) -> memoryview:
        index = self.chunks[number]
        if index.compression:
            return self._decompressed(number)
        view = self._stored(index)
        if number not in self._verified:
            self._verify(index, view)
            self._verified.add(number)
        return view

    def _stored(self, index: ChunkIndex) -> memoryview:
        start = index.chunk_start_offset + _RECORD_HEADER + _CHUNK_FIELDS + 4 + len(index.compression) + 8
        return memoryview(self.data)[start : start + index.compressed_size]

    def _decompress(self, number: int) -> memoryview:
        index = self.chunks[number]
        stored = self._stored(index)
        try:
            if index.compression == "zstd":
                data = zstandard.decompress(stored, index.uncompressed_size)
            elif index.compression == "lz4":
                data = lz4.frame.decompress(stored)
            else:
                raise NotABag(f"{self.path}: chunks are compressed by {index.compression!r}, expected zstd or lz4")
        except (zstandard.ZstdError, RuntimeError) as error:
            raise BagDamaged(f"{self.path}: a chunk does not decompress ({error}); {RECOVER_HINT}") from None
        view = memoryview(data)
        self._verify(index, view)
        return view

    def _verify(self, index: ChunkIndex, view: memoryview) -> None:
        (expected,) = struct.unpack_from("<I", self.data, index.chunk_start_offset + _RECORD_HEADER + 24)
        if expected and zlib.crc32(view) != expected:
            raise BagDamaged(
                f"{self.path}: the chunk at byte {index.chunk_start_offset} fails its checksum; the file was changed "
                f"after recording; copy it again from its source, or save the rest with {RECOVER_HINT}"
            )


RECOVER_HINT = "`gaze-vlm bag recover`"


def _cut_off(path: Path) -> str:
    return f"{path} was cut off while it was written: it has no end; {RECOVER_HINT} saves what is in it"


def sqlite_text(path: Path) -> str:
    return (
        f"{path} is a SQLite bag, and only MCAP is read; convert it: `ros2 bag convert -i {path} -o out.yaml`, where "
        "out.yaml says `output_bags: [{uri: NEW_FOLDER, storage_id: mcap, all_topics: true}]`"
    )

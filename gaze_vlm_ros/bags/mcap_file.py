"""One indexed MCAP file: open it, check its index, and find any message by it. https://mcap.dev/spec"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap.records import Channel, Schema
from numpy.typing import NDArray

from gaze_vlm_ros.bags.chunks import RECORD_HEADER_BYTES, ChunkReader
from gaze_vlm_ros.bags.errors import RECOVER_HINT, NotABag, cut_off, damaged_index, not_mcap, sqlite_bag
from gaze_vlm_ros.bags.unindexed import add_definitions, has_messages, message_indexes_of

MAGIC = b"\x89MCAP0\r\n"
SQLITE_MAGIC = b"SQLite format 3\0"
_FOOTER = struct.Struct("<BQQQI")  # opcode, length, start of the summary, start of its offsets, CRC-32
_MESSAGE = struct.Struct("<BQHIQQ")  # opcode, length, channel, sequence number, log time, publish time
_MESSAGE_FIELDS_BYTES = 22  # of a message, before its data
_MESSAGE_OPCODE, _MESSAGE_INDEX_OPCODE = 5, 7


class IndexedMessages(NamedTuple):
    """Messages of one topic in one chunk."""

    topic: str
    chunk: int  # number of the chunk
    log_ns: NDArray[np.int64]  # (N,)
    offsets: NDArray[np.int64]  # (N,) in the uncompressed chunk, bytes


class McapFile:
    """One indexed MCAP file, mapped into memory: the operating system may drop pages that are not in use.

    Raises NotABag for a file that is no MCAP file or has no index, BagDamaged for one that was cut off or changed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            stream = path.open("rb")
        except OSError as error:
            raise NotABag(f"{path} cannot be read: {error.strerror}; give a bag folder, or an .mcap file") from None
        with stream:
            begin = stream.read(len(SQLITE_MAGIC))
            if begin == SQLITE_MAGIC:
                raise sqlite_bag(path)
            if begin[: len(MAGIC)] != MAGIC[: len(begin)]:
                raise not_mcap(path)
            if path.stat().st_size < 2 * len(MAGIC) + _FOOTER.size:
                raise cut_off(path)
            self._data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            if self._data[-len(MAGIC) :] != MAGIC:
                raise cut_off(path)
            self._verify_summary()
            stream.seek(0)
            reader = make_reader(stream)
            try:
                summary = reader.get_summary()
                self.records = [(record.name, record.metadata) for record in reader.iter_metadata()]
            except (McapError, struct.error, ValueError, EOFError) as error:
                raise damaged_index(path, f"{type(error).__name__}: {error}") from None
        if summary is None or (not summary.chunk_indexes and has_messages(self._data, len(MAGIC))):
            raise NotABag(f"{path} has no index; {RECOVER_HINT} writes one")
        self.channels: dict[int, Channel] = summary.channels
        self.schemas: dict[int, Schema] = summary.schemas
        self._message_count = summary.statistics.message_count if summary.statistics else None
        # In the order of the file: a channel is defined before its first message.
        self._chunk_indexes = sorted(summary.chunk_indexes, key=lambda index: index.chunk_start_offset)
        self._chunks = ChunkReader(path, self._data, self._chunk_indexes)
        # A summary may leave out nearly everything. Without a total, nothing shows that a message index is complete.
        unindexed = [
            number
            for number, chunk in enumerate(self._chunk_indexes)
            if self._message_count is None or not chunk.message_index_offsets
        ]
        self._read_indexes = message_indexes_of(self._chunks, unindexed)
        used = [set(self._channels_of(number)) for number in range(len(self._chunk_indexes))]
        add_definitions(self._data, len(MAGIC), self._chunks, used, self.schemas, self.channels)

    def topics(self) -> dict[str, str]:
        """Return the type of each topic; "" where its channel has no schema, which MCAP allows and ROS never writes."""
        found = {}
        for channel in self.channels.values():
            schema = self.schemas.get(channel.schema_id)
            found[channel.topic] = schema.name if schema else ""
        return found

    def topic_schemas(self) -> dict[str, tuple[bytes, str, str] | None]:
        """Return definition, name and encoding of each topic's schema; None where its channel has none."""
        found = {}
        for channel in self.channels.values():
            schema = self.schemas.get(channel.schema_id)
            found[channel.topic] = (schema.data, schema.name, schema.encoding) if schema else None
        return found

    def index(self) -> Iterator[IndexedMessages]:
        """Yield where messages are, by chunk and topic. Raises BagDamaged where the index is not complete."""
        indexed = 0
        for number in range(len(self._chunk_indexes)):
            for channel_id in self._channels_of(number):
                rows = self._message_index(number, channel_id)
                topic = self._topic_of(channel_id)
                if topic is None:
                    raise damaged_index(self.path, f"no channel {channel_id}")
                yield IndexedMessages(topic, number, rows[:, 0], rows[:, 1])
                indexed += len(rows)
        if self._message_count is not None and indexed != self._message_count:
            raise damaged_index(self.path, f"it names {indexed} of {self._message_count} messages")

    def message(self, chunk_number: int, offset: int, topic: str, log_ns: int) -> tuple[int, int, memoryview]:
        """Return (sequence number, publish time ns, serialized message).

        Raises BagDamaged where the chunk holds no message of this topic and log time at `offset`.
        """
        chunk = self._chunks.read(chunk_number)
        try:
            opcode, length, channel, sequence, found_ns, publish_ns = _MESSAGE.unpack_from(chunk, offset)
        except struct.error:
            opcode = length = channel = sequence = found_ns = publish_ns = 0
        # A chunk's checksum does not cover the message indexes that follow it.
        if opcode != _MESSAGE_OPCODE or found_ns != log_ns or self._topic_of(channel) != topic:
            raise damaged_index(self.path, f"no message of {topic} at byte {offset} of chunk {chunk_number}")
        start = offset + RECORD_HEADER_BYTES
        return sequence, publish_ns, chunk[start + _MESSAGE_FIELDS_BYTES : start + length]

    def close(self) -> None:
        """Free decompressed chunks. The map itself goes with the last message that points into it."""
        self._chunks.clear()

    def _channels_of(self, chunk_number: int) -> Iterable[int]:
        return self._read_indexes.get(chunk_number, self._chunk_indexes[chunk_number].message_index_offsets)

    def _message_index(self, chunk_number: int, channel_id: int) -> NDArray[np.int64]:
        """Return (N, 2): log time ns and offset in the chunk."""
        if chunk_number in self._read_indexes:
            return self._read_indexes[chunk_number][channel_id]
        start = self._chunk_indexes[chunk_number].message_index_offsets[channel_id]
        try:
            opcode, length, channel, size = struct.unpack_from("<BQHI", self._data, start)
            if (opcode, length, channel, size % 16) != (_MESSAGE_INDEX_OPCODE, size + 6, channel_id, 0):
                raise ValueError
            rows = np.frombuffer(self._data, "<u8", size // 8, start + RECORD_HEADER_BYTES + 6).reshape(-1, 2)
            return rows.astype(np.int64)
        except (struct.error, ValueError):
            raise damaged_index(self.path, f"no message index at byte {start}") from None

    def _topic_of(self, channel_id: int) -> str | None:
        channel = self.channels.get(channel_id)
        return channel.topic if channel else None

    def _verify_summary(self) -> None:
        """Raise BagDamaged unless the checksum of schemas, channels and indexes is right, or was left out."""
        footer = len(self._data) - len(MAGIC) - _FOOTER.size
        _, _, start, _, expected = _FOOTER.unpack_from(self._data, footer)
        summed = self._data[start or footer : footer + _FOOTER.size - 4]
        if expected and zlib.crc32(summed) != expected:
            raise damaged_index(self.path, "it fails its checksum")

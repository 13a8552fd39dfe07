"""Parse records of a possibly damaged MCAP file one by one, each checked against its own length."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import lz4.frame
import zstandard
from mcap import records
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode

from gaze_vlm_ros.bags.compression import LARGEST_BYTES
from gaze_vlm_ros.errors import GazeVlmError

RECORD_HEADER = struct.Struct("<BQ")  # opcode, length of what follows
_CHUNK = struct.Struct("<QQQII")  # first and last log time, size uncompressed, CRC-32, length of the compression's name
MESSAGE_HEADER = struct.Struct("<HIQQ")  # channel, sequence number, log time, publish time
_SMALL_BYTES = 64 << 20  # no record but chunks, messages and attachments is ever larger: a length beyond it is damage
_PARSERS: dict[int, Callable[[ReadDataStream], Any]] = {
    Opcode.HEADER: records.Header.read,
    Opcode.FOOTER: records.Footer.read,
    Opcode.SCHEMA: records.Schema.read,
    Opcode.CHANNEL: records.Channel.read,
    Opcode.MESSAGE_INDEX: records.MessageIndex.read,
    Opcode.CHUNK_INDEX: records.ChunkIndex.read,
    Opcode.ATTACHMENT_INDEX: records.AttachmentIndex.read,
    Opcode.STATISTICS: records.Statistics.read,
    Opcode.METADATA: records.Metadata.read,
    Opcode.METADATA_INDEX: records.MetadataIndex.read,
    Opcode.SUMMARY_OFFSET: records.SummaryOffset.read,
    Opcode.DATA_END: records.DataEnd.read,
}


class FileUnreadable(GazeVlmError):
    """The operating system cannot read the file."""


class RawFile:
    """Bytes of a file by offset. Not a memory map, where a bad sector would end the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._stream = path.open("rb")
        except OSError as error:
            raise FileUnreadable(
                f"{path} cannot be read: {error.strerror}; give a bag folder or an .mcap file"
            ) from None
        self.size = os.fstat(self._stream.fileno()).st_size

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes, fewer at the end of the file. Raises FileUnreadable."""
        try:
            self._stream.seek(offset)
            return self._stream.read(max(min(size, self.size - offset), 0))
        except OSError as error:
            raise FileUnreadable(
                f"{self.path} cannot be read at byte {offset}: {error.strerror}; "
                "copy what is readable with ddrescue, and recover the copy"
            ) from None

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


@dataclass(frozen=True)
class Chunk:
    """Place of one chunk in the file, bytes. `stop` may be past the end of the file."""

    start: int
    data_start: int
    stop: int
    first_ns: int
    last_ns: int
    uncompressed_bytes: int
    crc: int  # 0 = its writer left it out
    compression: str


class Record(NamedTuple):
    """One record outside chunks. content: None for messages, attachments and private records."""

    opcode: int
    stop: int
    content: Any


def record_at(file: RawFile, offset: int) -> Record | None:
    """Return the complete record at `offset`, unless it is a chunk; None where there is none."""
    head = file.read(offset, RECORD_HEADER.size)
    if len(head) < RECORD_HEADER.size:
        return None
    opcode, length = RECORD_HEADER.unpack(head)
    stop = offset + RECORD_HEADER.size + length
    if stop > file.size:
        return None
    if opcode == Opcode.ATTACHMENT or opcode >= 0x80:  # private
        return Record(opcode, stop, None)
    if opcode == Opcode.MESSAGE:
        return Record(opcode, stop, None) if length >= MESSAGE_HEADER.size else None
    if opcode not in _PARSERS or length > _SMALL_BYTES:
        return None
    content = parse_record(opcode, file.read(offset + RECORD_HEADER.size, length))
    return None if content is None else Record(opcode, stop, content)


class _Exact(io.BytesIO):
    """Bytes of one record that raise EOFError at their end, where mcap would accept fewer bytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if size is not None and len(data) < size:
            raise EOFError
        return data


def parse_record(opcode: int, content: bytes) -> Any:
    """Return the record in these bytes, None unless it uses all of them."""
    stream = ReadDataStream(_Exact(content))
    try:
        record = _PARSERS[opcode](stream)
    except (McapError, struct.error, ValueError, EOFError):
        return None
    return record if stream.count == len(content) else None


def chunk_at(file: RawFile, offset: int) -> Chunk | None:
    """Return the chunk whose record begins at `offset`, None where its three lengths do not agree."""
    head = file.read(offset, RECORD_HEADER.size + _CHUNK.size + len("zstd") + 8)
    if len(head) < RECORD_HEADER.size + _CHUNK.size + 8 or head[0] != Opcode.CHUNK:
        return None
    _, length = RECORD_HEADER.unpack_from(head)
    first_ns, last_ns, uncompressed_bytes, crc, name_length = _CHUNK.unpack_from(head, RECORD_HEADER.size)
    name_start = RECORD_HEADER.size + _CHUNK.size
    name = head[name_start : name_start + name_length]
    data_start = name_start + name_length + 8
    if name not in (b"", b"lz4", b"zstd") or len(head) < data_start or first_ns > last_ns:
        return None
    (stored_bytes,) = struct.unpack_from("<Q", head, data_start - 8)
    if data_start + stored_bytes != RECORD_HEADER.size + length or (not name and stored_bytes != uncompressed_bytes):
        return None
    start, stop = offset + data_start, offset + data_start + stored_bytes
    return Chunk(offset, start, stop, first_ns, last_ns, uncompressed_bytes, crc, name.decode())


def decompressed(stored: bytes, chunk: Chunk) -> bytes:
    """Return as much of a chunk's data as decompresses; stops soon after the size that it states, or LARGEST_BYTES."""
    if not chunk.compression:
        return stored
    zstd = chunk.compression == "zstd"
    decoder: Any = zstandard.ZstdDecompressor().decompressobj() if zstd else lz4.frame.LZ4FrameDecompressor()
    data = bytearray()
    piece = 4096  # small, because damaged bytes can expand to a thousand times their size
    try:
        for start in range(0, len(stored), piece):
            data += decoder.decompress(stored[start : start + piece])
            if len(data) > min(chunk.uncompressed_bytes, LARGEST_BYTES):
                break
    except (zstandard.ZstdError, RuntimeError, EOFError):
        pass
    return bytes(data)


def records_in(data: bytes | memoryview) -> Iterator[tuple[int, int, int]]:
    """Yield (opcode, start, stop) of the content of each complete record of a chunk, up to the first invalid one."""
    offset = 0
    while offset + RECORD_HEADER.size <= len(data):
        opcode, length = RECORD_HEADER.unpack_from(data, offset)
        start, stop = offset + RECORD_HEADER.size, offset + RECORD_HEADER.size + length
        known = opcode in (Opcode.SCHEMA, Opcode.CHANNEL) or (
            opcode == Opcode.MESSAGE and length >= MESSAGE_HEADER.size
        )
        if not known or stop > len(data):
            return
        yield opcode, start, stop
        offset = stop


def end_of_records(data: bytes) -> int:
    """Return the offset after the last complete record of a chunk."""
    end = 0
    for _, _, end in records_in(data):  # noqa: B007
        pass
    return end


def message_index_of(data: bytes | memoryview) -> dict[int, list[tuple[int, int]]]:
    """Return sorted (log time ns, offset) of the messages of a chunk, by channel."""
    index: dict[int, list[tuple[int, int]]] = {}
    for opcode, start, _ in records_in(data):
        if opcode == Opcode.MESSAGE:
            channel, _, log_ns, _ = MESSAGE_HEADER.unpack_from(data, start)
            index.setdefault(channel, []).append((log_ns, start - RECORD_HEADER.size))
    return {channel: sorted(entries) for channel, entries in index.items()}


def message_at(content: bytes) -> records.Message:
    """Return the message in the content of a message record."""
    channel, sequence, log_ns, publish_ns = MESSAGE_HEADER.unpack_from(content)
    return records.Message(channel, log_ns, content[MESSAGE_HEADER.size :], publish_ns, sequence)

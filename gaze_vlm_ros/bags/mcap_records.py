"""Records of an MCAP file of which nothing is trusted: parsed one by one, each checked against its own length."""

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
    """The operating system does not hand out the file's bytes."""


class RawFile:
    """A file's bytes by offset. Not mapped into memory: there a bad sector ends the process in place of raising."""

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
        """`size` bytes, fewer at the end of the file. Raises FileUnreadable."""
        try:
            self._stream.seek(offset)
            return self._stream.read(max(min(size, self.size - offset), 0))
        except OSError as error:
            raise FileUnreadable(
                f"{self.path} cannot be read at byte {offset}: {error.strerror}; "
                "copy what is readable with ddrescue, and recover the copy"
            ) from None

    def close(self) -> None:
        self._stream.close()


@dataclass(frozen=True)
class Chunk:
    """Where one chunk is in the file, bytes. `stop` may lie behind the file's end."""

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
    """The whole record other than a chunk at `offset`, None where there is none."""
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
    """Bytes of one record, behind which there is nothing; mcap takes fewer than it asks for as they are."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if size is not None and len(data) < size:
            raise EOFError
        return data


def parse_record(opcode: int, content: bytes) -> Any:
    """The record of these bytes, None unless it takes every one of them."""
    stream = ReadDataStream(_Exact(content))
    try:
        record = _PARSERS[opcode](stream)
    except (McapError, struct.error, ValueError, EOFError):
        return None
    return record if stream.count == len(content) else None


def chunk_at(file: RawFile, offset: int) -> Chunk | None:
    """The chunk whose record begins at `offset`, None where the three lengths that it states do not agree."""
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
    """As much as decodes of a chunk's data; stops soon behind the size that the chunk states."""
    if not chunk.compression:
        return stored
    zstd = chunk.compression == "zstd"
    decoder: Any = zstandard.ZstdDecompressor().decompressobj() if zstd else lz4.frame.LZ4FrameDecompressor()
    data = bytearray()
    piece = 4096  # small, because damaged bytes can ask for a thousand times their size
    try:
        for start in range(0, len(stored), piece):
            data += decoder.decompress(stored[start : start + piece])
            if len(data) > chunk.uncompressed_bytes:
                break
    except (zstandard.ZstdError, RuntimeError, EOFError):
        pass
    return bytes(data)


def records_in(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(opcode, start, stop) of the content of each whole record of a chunk, up to the first that is none."""
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
    end = 0
    for _, _, end in records_in(data):  # noqa: B007
        pass
    return end


def message_index_of(data: bytes) -> dict[int, list[tuple[int, int]]]:
    """Sorted (log time, offset) of the messages of a chunk, by channel."""
    index: dict[int, list[tuple[int, int]]] = {}
    for opcode, start, _ in records_in(data):
        if opcode == Opcode.MESSAGE:
            channel, _, log_ns, _ = MESSAGE_HEADER.unpack_from(data, start)
            index.setdefault(channel, []).append((log_ns, start - RECORD_HEADER.size))
    return {channel: sorted(entries) for channel, entries in index.items()}


def message_at(content: bytes) -> records.Message:
    channel, sequence, log_ns, publish_ns = MESSAGE_HEADER.unpack_from(content)
    return records.Message(channel, log_ns, content[MESSAGE_HEADER.size :], publish_ns, sequence)

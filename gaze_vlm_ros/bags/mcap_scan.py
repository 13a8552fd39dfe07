"""Find the complete records of a cut off or damaged MCAP file, as far as its checksums and lengths prove them.

https://mcap.dev/spec. Memory holds one chunk at a time, and a few bytes per chunk of the file.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from mcap import records
from mcap.opcode import Opcode

from gaze_vlm_ros.bags.mcap_file import MAGIC
from gaze_vlm_ros.bags.mcap_records import (
    MESSAGE_HEADER,
    RECORD_HEADER,
    Chunk,
    RawFile,
    Record,
    chunk_at,
    decompressed,
    end_of_records,
    message_at,
    message_index_of,
    parse_record,
    record_at,
    records_in,
)

_FOOTER = struct.Struct("<BQQQI")  # opcode, length, where the summary begins, where its offsets begin, CRC-32
# The beginning of a chunk: lengths below 2^40, a name of 0, 3 (lz4) or 4 (zstd) characters. `chunk_at` looks closer.
_MAYBE_A_CHUNK = re.compile(rb"\x06(?=.{5}\0{3}.{16}.{5}\0{3}.{4}[\0\x03\x04]\0{3})", re.DOTALL)
_MAYBE_BYTES = 41
_SEARCH_BYTES = 1 << 20
_SECTOR_BYTES = 512  # the smallest unit that a disk writes


@dataclass
class Scan:
    """Complete records of a file."""

    file: RawFile
    chunks: list[Chunk] = field(default_factory=list)  # that hold whole records
    bare: list[tuple[int, int]] = field(default_factory=list)  # [start, stop) of messages, in a file without chunks
    definitions: list[records.Schema | records.Channel] = field(default_factory=list)  # those outside chunks
    metadata: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    # By channel: messages of damaged chunks whose index exists. At least this many are lost.
    lost: Counter[int] = field(default_factory=Counter)
    written: dict[int, int] | None = (
        None  # by channel: messages that the writer counted; None = the file was cut off before
    )
    unused_bytes: int = 0  # in no whole record that is used
    whole: bool = False  # nothing is missing, index and checksums included


def scan(file: RawFile, progress: Callable[[int], object] = lambda read_bytes: None) -> Scan:
    """Read a file from start to end, skipping damage up to the next chunk. Raises FileUnreadable.

    progress: called with the number of bytes since its last call.
    """
    return _Walk(file).run(progress)


class _Walk:
    def __init__(self, file: RawFile) -> None:
        self._file = file
        self._found = Scan(file)
        self._summary_start = _summary_start(file)
        self._sound = True  # no contradiction so far
        # What the message indexes after a chunk must contain: sorted (log time, offset) by channel. None = the chunk
        # is damaged.
        self._expected: dict[int, list[tuple[int, int]]] | None = {}
        self._metadata_at: set[tuple[int, str]] = set()  # (offset, name)
        self._chunk_indexes = 0
        self._data_ended = self._ended = False

    def run(self, progress: Callable[[int], object]) -> Scan:
        file, found = self._file, self._found
        offset = len(MAGIC) if file.read(0, len(MAGIC)) == MAGIC else self._over_damage(0, 0)
        while offset < file.size:
            if self._ended and offset == file.size - len(MAGIC) and file.read(offset, len(MAGIC)) == MAGIC:
                break
            self._ended = False
            begin = offset
            chunk = chunk_at(file, offset)
            record = None if chunk else record_at(file, offset)
            if self._expected and not (record and record.opcode == Opcode.MESSAGE_INDEX):
                self._sound, self._expected = False, {}
            if chunk:
                offset = self._take_chunk(chunk)
            elif record:
                self._take_record(offset, record)
                offset = record.stop
            else:
                offset = self._over_damage(offset, offset + 1)
            progress(offset - begin)
        indexed = self._summary_start is not None and self._chunk_indexes == len(found.chunks)
        found.whole = self._sound and self._data_ended and indexed and not self._expected and not found.bare
        if found.chunks and found.bare:
            # A file has either; a single changed bit makes a message of an index.
            found.unused_bytes += sum(stop - start for start, stop in found.bare)
            found.bare = []
        return found

    def _over_damage(self, start: int, search_from: int) -> int:
        """Return where to continue; everything from `start` up to there is unusable."""
        resumed = _resumption(self._file, search_from, self._summary_start)
        self._found.unused_bytes += resumed - start
        self._sound = False
        return resumed

    def _take_chunk(self, chunk: Chunk) -> int:
        """Return where the next record begins."""
        data = _trusted(self._file, chunk)
        stop = min(chunk.stop, self._file.size)
        self._expected = message_index_of(data) if data or not chunk.uncompressed_bytes else None
        times_ns = [log_ns for entries in (self._expected or {}).values() for log_ns, _ in entries]
        span = (min(times_ns), max(times_ns)) if times_ns else (chunk.first_ns, chunk.last_ns)
        self._sound &= len(data) == chunk.uncompressed_bytes and span == (chunk.first_ns, chunk.last_ns)
        if data:
            self._found.chunks.append(chunk)
            self._found.unused_bytes += 0 if chunk.compression else stop - chunk.data_start - len(data)
        else:
            self._found.unused_bytes += stop - chunk.start
        return stop

    def _take_record(self, offset: int, record: Record) -> None:
        found, content = self._found, record.content
        # A summary without an end, or with a wrong checksum, is not to be believed.
        believed = not self._data_ended or self._summary_start is not None
        self._sound &= offset > len(MAGIC) or record.opcode == Opcode.HEADER
        if record.opcode == Opcode.MESSAGE:
            begin = found.bare.pop()[0] if found.bare and found.bare[-1][1] == offset else offset
            found.bare.append((begin, record.stop))
        elif content is None:
            found.unused_bytes += record.stop - offset
        elif isinstance(content, (records.Schema, records.Channel)):
            found.definitions += [content] if believed else []
        elif isinstance(content, records.Statistics):
            found.written = content.channel_message_counts if believed else None
        elif isinstance(content, records.Metadata):
            found.metadata.append((content.name, content.metadata))
            self._metadata_at.add((offset, content.name))
        elif isinstance(content, records.MetadataIndex):
            self._sound &= (content.offset, content.name) in self._metadata_at
        elif isinstance(content, records.MessageIndex):
            if self._expected is None:
                found.lost[content.channel_id] += len(content.records)
            else:
                self._sound &= sorted(content.records) == self._expected.pop(content.channel_id, [])
        self._chunk_indexes += record.opcode == Opcode.CHUNK_INDEX
        self._data_ended |= record.opcode == Opcode.DATA_END
        self._ended = record.opcode == Opcode.FOOTER


def contents(found: Scan) -> Iterator[records.Schema | records.Channel | records.Message]:
    """Schemas, channels and messages that are whole, in the order of the file."""
    yield from found.definitions
    for chunk in found.chunks:
        data = _trusted(found.file, chunk)
        for opcode, start, stop in records_in(data):
            if opcode == Opcode.MESSAGE:
                yield message_at(data[start:stop])
            elif (definition := parse_record(opcode, data[start:stop])) is not None:
                yield definition
    for begin, end in found.bare:
        offset = begin
        while offset < end:
            _, length = RECORD_HEADER.unpack(found.file.read(offset, RECORD_HEADER.size))
            yield message_at(found.file.read(offset + RECORD_HEADER.size, length))
            offset += RECORD_HEADER.size + length


def _resumption(file: RawFile, offset: int, summary_start: int | None) -> int:
    """Return where the next chunk or the summary begins, from `offset` on; the file's size if there is neither."""
    for start in range(offset, file.size, _SEARCH_BYTES):
        for match in _MAYBE_A_CHUNK.finditer(file.read(start, _SEARCH_BYTES + _MAYBE_BYTES - 1)):
            if chunk_at(file, start + match.start()):
                return start + match.start()
    return file.size if summary_start is None or summary_start < offset else summary_start


def _trusted(file: RawFile, chunk: Chunk) -> bytes:
    """Return the records of a chunk: all if its checksum is right, the complete ones if the file ends in it."""
    stored = file.read(chunk.data_start, chunk.stop - chunk.data_start)
    if chunk.stop > file.size:
        return _trusted_begin(chunk, stored)
    data = decompressed(stored, chunk)
    right = len(data) == chunk.uncompressed_bytes and (not chunk.crc or zlib.crc32(data) == chunk.crc)
    return data if right and end_of_records(data) == len(data) else b""


def _trusted_begin(chunk: Chunk, stored: bytes) -> bytes:
    """Whole records of a chunk that is cut off, so that its checksum says nothing; empty where anything contradicts."""
    # A power cut leaves zeros in sectors that were allocated, and not written yet.
    written = -(-(chunk.data_start + len(stored.rstrip(b"\0"))) // _SECTOR_BYTES) * _SECTOR_BYTES - chunk.data_start
    data = decompressed(stored[:written] if chunk.compression else stored, chunk)
    end = end_of_records(data)
    rest = data[end:]
    if rest[:1] == b"\0" and not rest.strip(b"\0"):
        # No record begins with zero: these sectors were never written, nor was a message that reaches into them.
        data = data[:end] if chunk.compression else data[: min(end, written)]
        end = end_of_records(data)
    elif rest and not _begins_a_record(rest, chunk.uncompressed_bytes - end):
        return b""
    for opcode, start, stop in records_in(data[:end]):
        if opcode == Opcode.MESSAGE:
            if not chunk.first_ns <= MESSAGE_HEADER.unpack_from(data, start)[2] <= chunk.last_ns:
                return b""
        elif parse_record(opcode, data[start:stop]) is None:
            return b""
    return data[:end]


def _begins_a_record(rest: bytes, room: int) -> bool:
    """Return whether `rest` can be the beginning of a record of at most `room` bytes in a chunk."""
    if len(rest) < RECORD_HEADER.size:
        return rest[0] in (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE)
    opcode, length = RECORD_HEADER.unpack_from(rest)
    return opcode in (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE) and len(rest) < RECORD_HEADER.size + length <= room


def _summary_start(file: RawFile) -> int | None:
    """Return where the summary begins, None unless its checksum is right or was left out by its writer."""
    footer = file.size - len(MAGIC) - _FOOTER.size
    end = file.read(footer, _FOOTER.size + len(MAGIC)) if footer > 0 else b""
    if end[_FOOTER.size :] != MAGIC:
        return None
    opcode, length, start, _, expected = _FOOTER.unpack_from(end)
    if (opcode, length) != (Opcode.FOOTER, _FOOTER.size - RECORD_HEADER.size) or not 0 < start <= footer:
        return None
    crc, stop = 0, footer + _FOOTER.size - 4
    for offset in range(start, stop, _SEARCH_BYTES):
        crc = zlib.crc32(file.read(offset, min(_SEARCH_BYTES, stop - offset)), crc)
    return start if not expected or crc == expected else None

"""What the summary of an MCAP file may leave out, read from its chunks. https://mcap.dev/spec"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence

import numpy as np
from mcap.opcode import Opcode
from mcap.records import Channel, Schema
from numpy.typing import NDArray

from gaze_vlm_ros.bags.chunks import ChunkReader
from gaze_vlm_ros.bags.mcap_records import RECORD_HEADER, message_index_of, parse_record, records_in

_DEFINITIONS = (Opcode.SCHEMA, Opcode.CHANNEL)


def has_messages(data: mmap.mmap, start: int) -> bool:
    """Return whether a file has a message or a chunk. start: of its first record, bytes."""
    return any(opcode in (Opcode.MESSAGE, Opcode.CHUNK) for opcode, _, _ in _records(data, start))


def message_indexes_of(chunks: ChunkReader, numbers: Sequence[int]) -> dict[int, dict[int, NDArray[np.int64]]]:
    """Return (N, 2) log time ns and offset in the chunk, by number of the chunk and channel. Raises BagDamaged."""
    return {
        number: {
            channel: np.array(entries, np.uint64).astype(np.int64)
            for channel, entries in message_index_of(chunks.read(number)).items()
        }
        for number in numbers
    }


def add_definitions(
    data: mmap.mmap,
    start: int,
    chunks: ChunkReader,
    used: Sequence[set[int]],
    schemas: dict[int, Schema],
    channels: dict[int, Channel],
) -> None:
    """Add schemas and channels that the summary does not repeat, reading no more chunks than that takes.

    start: of the file's first record, bytes. used: channels of the messages of each chunk. Raises BagDamaged.
    """

    def is_missing(channel_id: int) -> bool:
        channel = channels.get(channel_id)
        return channel is None or (channel.schema_id != 0 and channel.schema_id not in schemas)

    def add(opcode: int, content: bytes) -> None:
        record = parse_record(opcode, content)
        if record is not None:
            (schemas if opcode == Opcode.SCHEMA else channels).setdefault(record.id, record)

    if not any(is_missing(channel_id) for channel_id in set().union(*used)):
        return
    for opcode, begin, end in _records(data, start):
        if opcode in _DEFINITIONS:
            add(opcode, data[begin:end])
    read = 0
    for number, channel_ids in enumerate(used):  # a channel is defined before its first message
        while read <= number and any(map(is_missing, channel_ids)):
            chunk = chunks.read(read)
            for opcode, begin, end in records_in(chunk):
                if opcode in _DEFINITIONS:
                    add(opcode, bytes(chunk[begin:end]))
            read += 1


def _records(data: mmap.mmap, start: int) -> Iterator[tuple[int, int, int]]:
    """Yield (opcode, start, stop) of the content of each record outside chunks, up to the end of the data section."""
    while start + RECORD_HEADER.size <= len(data):
        opcode, length = RECORD_HEADER.unpack_from(data, start)
        begin, start = start + RECORD_HEADER.size, start + RECORD_HEADER.size + length
        if opcode == Opcode.DATA_END or start > len(data):
            return
        yield opcode, begin, start

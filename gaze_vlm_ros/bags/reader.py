"""Reads a bag without ROS: any message at random by the file's own index; memory does not grow with its length."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.serde.errors import SerdeError
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore

from gaze_vlm_ros.bags.mcap_file import RECOVER_HINT, BagDamaged, McapFile, NotABag, sqlite_text
from gaze_vlm_ros.bags.message_types import begins_with_stamp, known_types
from gaze_vlm_ros.bags.stamps import acquisition_ns, leading_stamp_ns
from gaze_vlm_ros.bags.writer import METADATA_RECORD, TOTALS_RECORD, TopicTotals
from gaze_vlm_ros.errors import GazeVlmError


class BagNotFound(GazeVlmError):
    """No such file or folder."""


@dataclass(frozen=True)
class TopicInfo:
    """One topic of a bag. Times are arrival (log) times, ns."""

    type_name: str
    count: int
    first_ns: int
    last_ns: int


@dataclass(frozen=True)
class _Entries:
    """Where one topic's messages are, in the order of their arrival."""

    log_ns: NDArray[np.int64]
    file: NDArray[np.int32]
    chunk: NDArray[np.int32]
    offset: NDArray[np.int64]  # in the uncompressed chunk


def totals_of(record: Mapping[str, str]) -> tuple[str, TopicTotals]:
    """Topic and totals of a TOTALS_RECORD. Raises ValueError where it is none."""
    counts = {field.name: int(record.get(field.name, "")) for field in fields(TopicTotals)}
    if "topic" not in record:
        raise ValueError("no topic")
    return record["topic"], TopicTotals(**counts)


@lru_cache(maxsize=256)  # parsing takes longer than the rest of opening a bag, and bags share their types
def _types_in(definition: bytes, name: str) -> Mapping[str, Any]:
    """What a schema defines: the type `name` and those it uses."""
    return get_types_from_msg(definition.decode(), name)


class Bag:
    """An open bag. Close it, or use it as a context manager."""

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        self.path = path
        self._files = [McapFile(file) for file in files]
        self.size_bytes = sum(file.stat().st_size for file in files)
        self.file_count = len(self._files)
        self.records = [record for file in self._files for record in file.records]  # (name, content), as written
        self.metadata: dict[str, str] = {}
        self.totals: dict[str, TopicTotals] = {}
        for name, record in self.records:
            if name == METADATA_RECORD:
                self.metadata.update(record)
            elif name == TOTALS_RECORD:
                try:
                    topic, totals = totals_of(record)
                except ValueError:
                    raise BagDamaged(f"{path}: its record {name} is damaged: {record}; {RECOVER_HINT}") from None
                self.totals[topic] = totals
        self._entries = self._index()
        self._register_types()
        self.topics = {
            name: TopicInfo(
                self._type_names[name],
                len(entries.log_ns),
                int(entries.log_ns[0]) if len(entries.log_ns) else 0,
                int(entries.log_ns[-1]) if len(entries.log_ns) else 0,
            )
            for name, entries in self._entries.items()
        }

    def _index(self) -> dict[str, _Entries]:
        self._type_names: dict[str, str] = {}
        parts: dict[str, list[tuple[NDArray[np.int64], NDArray[np.int64], int, int]]] = {}
        for file_number, file in enumerate(self._files):
            for channel in file.channels.values():
                schema = file.schemas.get(channel.schema_id)  # MCAP allows messages without one; ROS has none such
                self._type_names[channel.topic] = schema.name if schema else ""
                parts.setdefault(channel.topic, [])
            indexed = 0
            for chunk_number, chunk in enumerate(file.chunks):
                for channel_id in chunk.message_index_offsets:
                    index = file.message_index(chunk, channel_id).astype(np.int64)
                    topic = file.topic_of(channel_id)
                    if topic is None:
                        raise file._damaged_index(f"no channel {channel_id}")
                    parts[topic].append((index[:, 0], index[:, 1], file_number, chunk_number))
                    indexed += len(index)
            if file.message_count is not None and indexed != file.message_count:
                raise file._damaged_index(f"it names {indexed} of {file.message_count} messages")
        return {topic: _in_arrival_order(found) for topic, found in parts.items()}

    def _register_types(self) -> None:
        found: dict[str, Any] = {}
        for file in self._files:
            for schema in file.schemas.values():
                if schema.encoding == "ros2msg":
                    found.update(_types_in(schema.data, schema.name))
        self._types = known_types()
        try:
            self._types.register(found)
        except TypesysError:  # made with another version of a type; its own definitions hold
            self._types = get_typestore(Stores.EMPTY)
            self._types.register(found)

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for file in self._files:
            file._decompressed.cache_clear()

    def topics_of(self, *type_names: str) -> list[str]:
        """Names of the topics that carry one of these types."""
        return [name for name, info in self.topics.items() if info.type_name in type_names]

    def log_times_ns(self, topic: str) -> NDArray[np.int64]:
        """(N,) arrival times, ascending."""
        return self._entries[topic].log_ns

    def raw(self, topic: str, index: int) -> memoryview:
        """Serialized message number `index`, in the order of arrival. Valid while the bag is open."""
        return self._stored(topic, index)[2]

    def sequence(self, topic: str, index: int) -> int:
        """Publication sequence number of message number `index`."""
        return self._stored(topic, index)[0]

    def _stored(self, topic: str, index: int) -> tuple[int, int, memoryview]:
        entries = self._entries[topic]
        log_ns = int(entries.log_ns[index]) % 2**64  # unsigned in the file
        chunk, offset = int(entries.chunk[index]), int(entries.offset[index])
        return self._files[entries.file[index]].message(chunk, offset, topic, log_ns)

    def message(self, topic: str, index: int) -> Any:
        """Message number `index`, in the order of arrival. Raises BagDamaged where its bytes are not of its type."""
        return self._decode(topic, self.raw(topic, index))

    def is_stamped(self, topic: str) -> bool:
        """Do the topic's messages begin with their time of acquisition?"""
        return begins_with_stamp(self._type_names[topic], self._types)

    def stamps_ns(self, topic: str) -> NDArray[np.int64]:
        """(N,) acquisition times, `header.stamp` or `timestamp` of each message, in the order of arrival.

        Decodes nothing else. Only for topics that `is_stamped`.
        """
        stamps = np.empty(self.topics[topic].count, dtype=np.int64)
        for index in range(len(stamps)):
            data = self.raw(topic, index)
            stamp_ns = leading_stamp_ns(data)
            stamps[index] = acquisition_ns(self._decode(topic, data)) if stamp_ns is None else stamp_ns
        return stamps

    def messages(
        self, topics: Iterable[str] | None = None, start_ns: int | None = None, stop_ns: int | None = None
    ) -> Iterator[tuple[str, Any, int]]:
        """(topic, message, arrival time ns) in the order of arrival, of [start_ns, stop_ns)."""
        names = list(self.topics if topics is None else topics)
        log_ns = [self._entries[name].log_ns for name in names]
        ranges = [
            (
                0 if start_ns is None else int(np.searchsorted(times, start_ns)),
                len(times) if stop_ns is None else int(np.searchsorted(times, stop_ns)),
            )
            for times in log_ns
        ]
        which = np.repeat(np.arange(len(names)), [stop - start for start, stop in ranges])
        index = np.concatenate([np.arange(start, stop) for start, stop in ranges] or [np.empty(0, np.int64)])
        times = np.concatenate([times[a:b] for times, (a, b) in zip(log_ns, ranges, strict=True)] or [index])
        for position in np.argsort(times, kind="stable"):
            topic = names[which[position]]
            yield topic, self.message(topic, int(index[position])), int(times[position])

    def _decode(self, topic: str, data: memoryview) -> Any:
        type_name = self._type_names[topic]
        try:
            return self._types.deserialize_cdr(data, type_name)
        except (SerdeError, struct.error, ValueError, IndexError, KeyError, AssertionError) as error:
            raise BagDamaged(
                f"{self.path}: a message on {topic} is no {type_name} ({type(error).__name__}: {error}); "
                "record it again, or leave the topic out"
            ) from None


def _in_arrival_order(parts: Sequence[tuple[NDArray[np.int64], NDArray[np.int64], int, int]]) -> _Entries:
    lengths = [len(part[0]) for part in parts]
    log_ns = np.concatenate([part[0] for part in parts] or [np.empty(0, np.int64)])
    offset = np.concatenate([part[1] for part in parts] or [np.empty(0, np.int64)])
    order = np.argsort(log_ns, kind="stable")
    return _Entries(
        log_ns=log_ns[order],
        file=np.repeat(np.array([part[2] for part in parts], np.int32), lengths)[order],
        chunk=np.repeat(np.array([part[3] for part in parts], np.int32), lengths)[order],
        offset=offset[order],
    )


def open_bag(path: Path | str) -> Bag:
    """Open a bag folder (every .mcap file in it) or one .mcap file.

    Raises BagNotFound, NotABag or BagDamaged, each with one line that says what to do.
    """
    path = Path(path)
    return Bag(path, bag_files(path))


def bag_files(path: Path) -> list[Path]:
    """The .mcap files of a bag folder as they were written, or the file itself. Raises BagNotFound, NotABag."""
    if not path.exists():
        raise BagNotFound(f"no such bag: {path}; give a folder that the recorder wrote, or an .mcap file")
    if path.is_file():
        return [path]
    files = sorted(path.glob("*.mcap"), key=_file_number)
    if not files and any(path.glob("*.db3")):
        raise NotABag(sqlite_text(path))
    if not files:
        raise NotABag(f"{path} is not a bag: it holds no .mcap file; give a folder that the recorder wrote")
    return files


def _file_number(path: Path) -> tuple[int, str]:
    """rosbag2 numbers the files of a split bag NAME_0.mcap, NAME_1.mcap, ..., NAME_10.mcap."""
    number = path.stem.rpartition("_")[2]
    return (int(number) if number.isdigit() else 0, path.name)

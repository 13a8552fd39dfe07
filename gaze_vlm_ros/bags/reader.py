"""Open a bag without ROS and hand out its topics. Any message is read at random, by the index of the bag's files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from rosbags.typesys import Stores, TypesysError, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from gaze_vlm_ros.bags.errors import RECOVER_HINT, BagDamaged, NoSuchTopic
from gaze_vlm_ros.bags.files import bag_files, require_files_of_metadata
from gaze_vlm_ros.bags.mcap_file import IndexedMessages, McapFile
from gaze_vlm_ros.bags.message_types import UnknownMessageType, describe_type, known_types
from gaze_vlm_ros.bags.session_records import METADATA_RECORD, TOTALS_RECORD, TopicTotals, totals_of
from gaze_vlm_ros.bags.topic_stream import TopicStream, merged, places_of

_IDL_SEPARATOR = "=" * 80 + "\n"


class Bag:
    """An open bag: its topics as streams, and its records. Use it as a context manager, or close it.

    path: named in errors. files: the .mcap files in the order of writing.
    Raises NotABag, BagDamaged.
    """

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        self.path = path
        self._files = [McapFile(file) for file in files]
        self.size_bytes = sum(file.stat().st_size for file in files)
        self.file_count = len(files)
        self.records = [record for file in self._files for record in file.records]  # (name, content), as written
        self.metadata: dict[str, str] = {}  # about the session: session, person, task, camera_topic, ...
        self.totals: dict[str, TopicTotals] = {}  # by topic, as the recorder counted; empty in a bag that was cut off
        for name, record in self.records:
            if name == METADATA_RECORD:
                self.metadata.update(record)
            elif name == TOTALS_RECORD:
                try:
                    topic, totals = totals_of(record)
                except ValueError:
                    raise BagDamaged(f"{path}: its record {name} is damaged: {record}; {RECOVER_HINT}") from None
                self.totals[topic] = totals
        self.topics = self._open_streams()  # by name

    def _open_streams(self) -> dict[str, TopicStream]:
        type_names: dict[str, str] = {}
        schemas: dict[str, tuple[bytes, str, str] | None] = {}
        parts: dict[str, list[tuple[int, IndexedMessages]]] = {}
        for number, file in enumerate(self._files):
            type_names |= file.topics()
            schemas |= file.topic_schemas()
            for topic in file.topics():
                parts.setdefault(topic, [])
            for part in file.index():
                parts[part.topic].append((number, part))
        return {
            topic: TopicStream(
                self.path, topic, type_names[topic], self._files, places_of(found), _types_of(schemas[topic])
            )
            for topic, found in parts.items()
        }

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free decompressed chunks. Messages that were handed out stay valid."""
        for file in self._files:
            file.close()

    def read(self, topic: str) -> TopicStream:
        """Return the messages of a topic. Raises NoSuchTopic."""
        if topic not in self.topics:
            raise NoSuchTopic(f"{self.path} has no topic {topic}; it has {', '.join(self.topics) or 'none at all'}")
        return self.topics[topic]

    def streams_of(self, *type_names: str) -> list[TopicStream]:
        """Return the topics that carry one of these types, such as "sensor_msgs/msg/Image"."""
        return [stream for stream in self.topics.values() if stream.type_name in type_names]

    def messages(
        self, topics: Iterable[str] | None = None, start_ns: int | None = None, stop_ns: int | None = None
    ) -> Iterator[tuple[str, Any, int]]:
        """Yield (topic, decoded message, arrival time ns) of several topics in the order of arrival.

        topics: None = all. start_ns, stop_ns: only messages that arrived in [start_ns, stop_ns).
        Raises NoSuchTopic, BagDamaged.
        """
        streams = self.topics if topics is None else {topic: self.read(topic) for topic in topics}
        for topic, index, arrival_ns in merged(streams, start_ns, stop_ns):
            yield topic, streams[topic].message(index), arrival_ns


def open_bag(path: Path | str) -> Bag:
    """Open a bag folder (every .mcap file in it) or one .mcap file.

    Raises BagNotFound, NotABag or BagDamaged, each with one line that says what to do.
    """
    path = Path(path)
    files = bag_files(path)
    require_files_of_metadata(path)
    return Bag(path, files)


@lru_cache(maxsize=256)  # parsing takes longer than the rest of opening a bag, and bags share their types
def _types_of(schema: tuple[bytes, str, str] | None) -> Typestore:
    """Return the types with which the messages of a schema (definition, name, encoding) are decoded: its own.

    Where it cannot be parsed, the standard ones. A schema never changes how messages of another one are decoded.
    """
    known = known_types()
    if schema is None or not schema[0].strip():
        return known
    with suppress(UnknownMessageType, OSError, ValueError):
        describe_type(schema[1])  # the installed definition, so that a bag's does not stand for it
    for types in (known, get_typestore(Stores.EMPTY)):  # EMPTY: the bag has another version of a type
        with suppress(TypesysError, ValueError, SyntaxError, RecursionError):
            types.register(_types_in(*schema))
            return types
    return known


def _types_in(definition: bytes, name: str, encoding: str) -> dict[str, Any]:
    """Return what a schema defines: the type `name` and those it uses."""
    text = definition.decode()
    if encoding == "ros2msg":
        return get_types_from_msg(text, name)
    found: dict[str, Any] = {}
    if encoding == "ros2idl":
        for part in text.split(_IDL_SEPARATOR):  # each begins with the line "IDL: package/msg/Type"
            found |= get_types_from_idl(part.partition("\n")[2]) if part.startswith("IDL: ") else {}
    return found

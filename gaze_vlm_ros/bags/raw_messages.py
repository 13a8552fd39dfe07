"""Messages of a bag as they stand in its files, undecoded, with the declarations of their topics: to copy them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from mcap.records import Channel, Message, Schema

from gaze_vlm_ros.bags.compression import is_compressed_message
from gaze_vlm_ros.bags.errors import sqlite_bag
from gaze_vlm_ros.bags.mcap_file import SQLITE_MAGIC
from gaze_vlm_ros.bags.mcap_records import RawFile
from gaze_vlm_ros.bags.mcap_scan import Scan, contents
from gaze_vlm_ros.bags.message_types import TypeDescription
from gaze_vlm_ros.bags.qos import DEFAULT_QOS, qos_profiles


class DeclaredTopic(NamedTuple):
    """Declaration of a topic, as a copy needs it."""

    type_name: str
    qos: list[dict[str, Any]]
    description: TypeDescription


class Entry(NamedTuple):
    """One message with its topic; message None = the declaration of the topic."""

    channel_id: int
    name: str
    topic: DeclaredTopic | None  # None: it is no ROS 2 topic, or its declaration is lost
    message: Message | None


def open_raw(path: Path) -> RawFile:
    """Open a file for its records. Raises FileUnreadable, and NotABag for a bag of SQLite."""
    file = RawFile(path)
    if file.read(0, len(SQLITE_MAGIC)) == SQLITE_MAGIC:
        file.close()
        raise sqlite_bag(path)
    return file


def entries(found: Scan) -> Iterator[Entry]:
    """Yield the declarations of topics and the messages of a file, as they stand in it."""
    schemas: dict[int, Schema] = {}
    topics: dict[int, tuple[str, DeclaredTopic | None]] = {}
    for record in contents(found):
        if isinstance(record, Schema):
            schemas[record.id] = record
        elif isinstance(record, Channel):
            topics[record.id] = record.topic, _topic(record, schemas.get(record.schema_id))
            yield Entry(record.id, *topics[record.id], None)
        else:
            undeclared = f"(undeclared topic {record.channel_id})", None
            yield Entry(record.channel_id, *topics.get(record.channel_id, undeclared), record)


def _topic(channel: Channel, schema: Schema | None) -> DeclaredTopic | None:
    if channel.message_encoding != "cdr" or schema is None:
        return None  # beside other encodings, rosbag2 would not open the bag
    definition = schema.data.decode("utf-8", "surrogateescape")
    description = TypeDescription(definition, channel.metadata.get("topic_type_hash", ""), schema.encoding)
    qos = qos_profiles(channel.metadata.get("offered_qos_profiles", ""))
    return DeclaredTopic(schema.name, qos or [DEFAULT_QOS], description)


def same_type(one: DeclaredTopic, other: DeclaredTopic) -> bool:
    """Return whether one reader can decode the messages of both."""
    first, second = one.description, other.description
    return (one.type_name, first.definition, first.encoding) == (other.type_name, second.definition, second.encoding)


def message_compression(scans: list[Scan]) -> str:
    """Return "zstd" where rosbag2 compressed the first message on its own, so that the copy keeps that mode."""
    messages = (entry.message for found in scans for entry in entries(found) if entry.message)
    return "zstd" if any(is_compressed_message(message.data) for message in islice(messages, 1)) else ""

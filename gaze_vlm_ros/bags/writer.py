"""Write training bags: MCAP as rosbag2 writes it, so that `ros2 bag`, Foxglove and rosbags open it. No ROS needed."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from mcap.writer import CompressionType, Writer

from gaze_vlm_ros import __version__
from gaze_vlm_ros.bags.message_types import TypeDescription, describe_type, serialize
from gaze_vlm_ros.bags.qos import DEFAULT_QOS
from gaze_vlm_ros.bags.session_records import METADATA_RECORD, TOTALS_RECORD, TopicTotals, totals_record
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.storage.atomic import sync_folder, write_text

ROSBAG2_VERSION = 9  # of metadata.yaml; since Jazzy
CHUNK_BYTES = 1 << 20  # readers load whole chunks, and a kill loses at most one: small, but with few index entries


class BagExists(GazeVlmError):
    """The folder of the new bag already exists."""


class BagNotWritable(GazeVlmError):
    """The bag cannot be written to its folder."""


@dataclass(frozen=True)
class Split:
    """When a bag continues in another file, so that earlier files are complete. 0 = never for that reason."""

    max_bytes: int = 0
    max_s: float = 0.0  # of arrival times


@dataclass
class _Topic:
    channel_id: int  # in the present file
    type_name: str
    qos: list[dict[str, Any]]
    description: TypeDescription
    count: int = 0


@dataclass
class _Span:
    """Messages of one file, or of the whole bag."""

    count: int = 0
    first_ns: int | None = None
    last_ns: int = 0

    def add(self, log_time_ns: int) -> None:
        self.count += 1
        self.first_ns = log_time_ns if self.first_ns is None else min(self.first_ns, log_time_ns)
        self.last_ns = max(self.last_ns, log_time_ns)

    def for_rosbag2(self) -> dict[str, Any]:
        first_ns = time.time_ns() if self.first_ns is None else self.first_ns
        return {
            "starting_time": {"nanoseconds_since_epoch": first_ns},
            "duration": {"nanoseconds": max(self.last_ns - first_ns, 0)},
            "message_count": self.count,
        }


class BagWriter:
    """Writer of a new bag in `folder`. It never overwrites anything. Not thread-safe: only one thread may write.

    metadata: strings about the session. "camera_topic", "gaze_topic" and "label_topic" name the topics of these roles.
    split: when to continue in another file of the folder; each file has the metadata and all topics.
    message_compression: "zstd" = each serialized message that is written is compressed on its own; "" = none is.
    Raises BagExists if `folder` exists, BagNotWritable if it cannot be created.
    """

    def __init__(
        self, folder: Path, metadata: Mapping[str, str], split: Split | None = None, message_compression: str = ""
    ) -> None:
        self.folder = folder
        self.message_compression = message_compression
        self._metadata = {"format": "1", **metadata}
        self._split = split or Split()
        self._topics: dict[str, _Topic] = {}
        self._schemas: dict[tuple[str, TypeDescription], int] = {}  # ids in the present file
        self._files: list[tuple[str, _Span]] = []
        self._whole = _Span()
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            raise BagExists(f"{folder} exists already, and bags are never overwritten; give another name") from None
        except OSError as error:
            raise BagNotWritable(f"cannot write a bag to {folder}: {error.strerror}; give another place") from None
        try:
            sync_folder(folder.parent)
            self._open_file()
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)  # an empty one would keep the name
            raise BagNotWritable(f"cannot write a bag to {folder}: {error.strerror}; give another place") from None

    @property
    def file_count(self) -> int:
        """Files that the bag has so far."""
        return len(self._files)

    def _open_file(self) -> None:
        name = f"{self.folder.name}_{len(self._files)}.mcap"
        self._stream = (self.folder / name).open("xb")
        sync_folder(self.folder)  # a sync of the file alone does not save its name
        self._files.append((name, _Span()))
        # Inline compression delayed gaze callbacks by half a second, and shrinks JPEG and gaze little.
        self._writer = Writer(self._stream, chunk_size=CHUNK_BYTES, compression=CompressionType.NONE)
        self._writer.start(profile="ros2", library=f"gaze_vlm_ros {__version__}")
        self._writer.add_metadata(METADATA_RECORD, self._metadata)
        self._schemas = {}
        for topic_name, topic in self._topics.items():
            topic.channel_id = self._register(topic_name, topic)

    def _close_file(self) -> None:
        self._writer.finish()
        self._stream.flush()
        os.fsync(self._stream.fileno())  # a closed file must survive the loss of power
        self._stream.close()
        write_text(self.folder / "metadata.yaml", _yaml({"rosbag2_bagfile_information": self._information()}))

    def add_record(self, name: str, record: Mapping[str, str]) -> None:
        """Write an MCAP metadata record of strings; `Bag.records` returns it."""
        self._writer.add_metadata(name, dict(record))

    def add_topic(
        self,
        name: str,
        type_name: str,
        offered_qos: Sequence[Mapping[str, Any]] = (DEFAULT_QOS,),
        *,
        description: TypeDescription | None = None,
    ) -> None:
        """Declare a topic before its first message. `offered_qos`: one mapping per publisher, as in metadata.yaml.

        description: of the type with which the messages were serialized; None = the installed type.
        Raises UnknownMessageType.
        """
        qos = [dict(profile) for profile in offered_qos]
        topic = _Topic(0, type_name, qos, description or describe_type(type_name))
        topic.channel_id = self._register(name, topic)
        self._topics[name] = topic

    def _register(self, name: str, topic: _Topic) -> int:
        key = topic.type_name, topic.description
        if key not in self._schemas:
            definition = topic.description.definition.encode("utf-8", "surrogateescape")
            self._schemas[key] = self._writer.register_schema(
                name=topic.type_name, encoding=topic.description.encoding, data=definition
            )
        return self._writer.register_channel(
            topic=name,
            message_encoding="cdr",
            schema_id=self._schemas[key],
            metadata={"offered_qos_profiles": _yaml(topic.qos), "topic_type_hash": topic.description.type_hash},
        )

    def write(
        self, topic: str, serialized: bytes, log_time_ns: int, publish_time_ns: int | None = None, sequence: int = 0
    ) -> None:
        """Append one serialized (CDR) message.

        log_time_ns: when it arrived. publish_time_ns: when it left the publisher; None = not known, arrival is written.
        sequence: the publisher's number of the message.
        """
        if self._is_file_full(log_time_ns):
            self._close_file()
            self._open_file()
        entry = self._topics[topic]
        publish_ns = log_time_ns if publish_time_ns is None else publish_time_ns
        self._writer.add_message(entry.channel_id, log_time_ns, serialized, publish_ns, sequence)
        entry.count += 1
        self._whole.add(log_time_ns)
        self._files[-1][1].add(log_time_ns)

    def _is_file_full(self, log_time_ns: int) -> bool:
        _, span = self._files[-1]
        if span.first_ns is None:
            return False
        too_big = self._split.max_bytes and self._stream.tell() >= self._split.max_bytes
        too_long = self._split.max_s and log_time_ns - span.first_ns >= self._split.max_s * 1e9
        return bool(too_big or too_long)

    def write_message(self, topic: str, message: Any, log_time_ns: int) -> None:
        """Append an instance of a `message_types.message_class`, numbered in the order of writing."""
        entry = self._topics[topic]
        self.write(topic, serialize(message, entry.type_name), log_time_ns, sequence=entry.count)

    def flush(self) -> None:
        """Close the current chunk and hand it to the operating system: everything so far survives a kill."""
        self._writer.flush()
        self._stream.flush()

    def sync(self) -> None:
        """Wait until flushed data is on the disk, where it survives a power cut. Another thread may call it."""
        try:
            os.fdatasync(self._stream.fileno())
        except ValueError:
            pass  # the file was closed just now, and synced
        except OSError as error:
            if error.errno != errno.EBADF:  # the same, a moment later
                raise

    def close(self, totals: Mapping[str, TopicTotals] | None = None) -> None:
        """Write totals, index and metadata.yaml. Without `totals`, everything written counts as everything received."""
        if totals is None:
            totals = {name: TopicTotals(topic.count, topic.count, 0) for name, topic in self._topics.items()}
        # Flush the last chunk first: totals must only be in a file that has all that they count.
        self._writer.flush()
        for name, total in totals.items():
            self._writer.add_metadata(TOTALS_RECORD, totals_record(name, total))
        self._close_file()

    def discard(self) -> None:
        """Delete everything that was written, and give up the bag."""
        self._stream.close()
        shutil.rmtree(self.folder)

    def _information(self) -> dict[str, Any]:
        return {
            "version": ROSBAG2_VERSION,
            "storage_identifier": "mcap",
            **self._whole.for_rosbag2(),
            "topics_with_message_count": [
                {
                    "topic_metadata": {
                        "name": name,
                        "type": topic.type_name,
                        "serialization_format": "cdr",
                        "offered_qos_profiles": topic.qos,
                        "type_description_hash": topic.description.type_hash,
                    },
                    "message_count": topic.count,
                }
                for name, topic in self._topics.items()
            ],
            "compression_format": self.message_compression,
            "compression_mode": "MESSAGE" if self.message_compression else "",
            "relative_file_paths": [name for name, _ in self._files],
            "files": [{"path": name, **span.for_rosbag2()} for name, span in self._files],
            "custom_data": None,
            "ros_distro": "rolling",
        }


class _PlainDumper(yaml.SafeDumper):
    """YAML without anchors and aliases, as rosbag2 writes it."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_PlainDumper, sort_keys=False)

"""Writes a training bag: MCAP as rosbag2 writes it, so that `ros2 bag`, Foxglove and rosbags open it. No ROS needed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from mcap.writer import CompressionType, Writer

from gaze_vlm_ros import __version__
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.message_types import describe_type, serialize

METADATA_RECORD = "gaze_vlm"  # session, person, task, ...: known at the start, so that a cut bag has it too
TOTALS_RECORD = "gaze_vlm_totals"  # per topic, written at the end: a bag without it was cut off
ROSBAG2_VERSION = 9  # of metadata.yaml; since Jazzy
CHUNK_BYTES = 1 << 20  # a reader loads whole chunks, a kill loses at most one: small, and still few index entries

_FOREVER = {"sec": 9223372036, "nsec": 854775807}
# Of topics whose publisher is not asked: reliable and volatile, as `ros2 bag play` can always offer.
DEFAULT_QOS: dict[str, Any] = {
    "history": "keep_last",
    "depth": 10,
    "reliability": "reliable",
    "durability": "volatile",
    "deadline": _FOREVER,
    "lifespan": _FOREVER,
    "liveliness": "automatic",
    "liveliness_lease_duration": _FOREVER,
    "avoid_ros_namespace_conventions": False,
}


class BagExists(GazeVlmError):
    """Something is already where the bag should be written."""


class BagNotWritable(GazeVlmError):
    """The bag's place cannot be written to."""


@dataclass(frozen=True)
class TopicTotals:
    """What became of one topic's messages."""

    received: int  # reached the recorder
    written: int  # are in the bag
    lost: int  # published, counted by their sequence numbers, and never received; or dropped by a full queue


@dataclass
class _Topic:
    channel_id: int
    type_name: str
    qos: list[dict[str, Any]]
    type_hash: str
    count: int = 0


class BagWriter:
    """A new bag in `folder`. Nothing is ever overwritten. Not thread-safe: one thread writes.

    metadata: plain strings about the session. "camera_topic", "gaze_topic" and "label_topic" tell a trainer which topic
    plays which role.
    Raises BagExists when there is anything at `folder`, BagNotWritable when it cannot be made.
    """

    def __init__(self, folder: Path, metadata: Mapping[str, str]) -> None:
        self.folder = folder
        self._topics: dict[str, _Topic] = {}
        self._schemas: dict[str, int] = {}
        self._first_ns: int | None = None
        self._last_ns = 0
        try:
            folder.mkdir(parents=True)
            self._stream = (folder / f"{folder.name}_0.mcap").open("xb")
        except FileExistsError:
            raise BagExists(f"{folder} exists already, and bags are never overwritten; give another name") from None
        except OSError as error:
            raise BagNotWritable(f"cannot write a bag to {folder}: {error.strerror}; give another place") from None
        # Compressing in line delayed gaze callbacks by half a second; JPEG and gaze gain little by it.
        self._writer = Writer(self._stream, chunk_size=CHUNK_BYTES, compression=CompressionType.NONE)
        self._writer.start(profile="ros2", library=f"gaze_vlm_ros {__version__}")
        self._writer.add_metadata(METADATA_RECORD, {"format": "1", **metadata})

    @property
    def bytes_written(self) -> int:
        return self._stream.tell()

    def add_topic(self, name: str, type_name: str, offered_qos: Sequence[Mapping[str, Any]] = (DEFAULT_QOS,)) -> None:
        """Declare a topic before its first message. `offered_qos`: one mapping per publisher, as in metadata.yaml.

        Raises UnknownMessageType.
        """
        description = describe_type(type_name)
        if type_name not in self._schemas:
            self._schemas[type_name] = self._writer.register_schema(
                name=type_name, encoding="ros2msg", data=description.definition.encode()
            )
        qos = [dict(profile) for profile in offered_qos]
        channel_id = self._writer.register_channel(
            topic=name,
            message_encoding="cdr",
            schema_id=self._schemas[type_name],
            metadata={"offered_qos_profiles": _yaml(qos), "topic_type_hash": description.type_hash},
        )
        self._topics[name] = _Topic(channel_id, type_name, qos, description.type_hash)

    def write(
        self, topic: str, serialized: bytes, log_time_ns: int, publish_time_ns: int | None = None, sequence: int = 0
    ) -> None:
        """Append one serialized (CDR) message.

        log_time_ns: when it arrived; publish_time_ns: when it left the publisher, None where that is not known.
        """
        entry = self._topics[topic]
        publish_ns = log_time_ns if publish_time_ns is None else publish_time_ns
        self._writer.add_message(entry.channel_id, log_time_ns, serialized, publish_ns, sequence)
        entry.count += 1
        self._first_ns = log_time_ns if self._first_ns is None else min(self._first_ns, log_time_ns)
        self._last_ns = max(self._last_ns, log_time_ns)

    def write_message(self, topic: str, message: Any, log_time_ns: int) -> None:
        """Append a message made from `message_types.message_class`, without ROS."""
        entry = self._topics[topic]
        self.write(topic, serialize(message, entry.type_name), log_time_ns, sequence=entry.count)

    def flush(self) -> None:
        """Close the current chunk and hand it to the operating system: what came before survives a kill."""
        self._writer.flush()
        self._stream.flush()

    def close(self, totals: Mapping[str, TopicTotals] | None = None) -> None:
        """Write totals, index and metadata.yaml. Without `totals`, everything written counts as everything received."""
        if totals is None:
            totals = {name: TopicTotals(topic.count, topic.count, 0) for name, topic in self._topics.items()}
        for name, total in totals.items():
            record = {"topic": name, **{key: str(value) for key, value in asdict(total).items()}}
            self._writer.add_metadata(TOTALS_RECORD, record)
        self._writer.finish()
        self._stream.close()
        (self.folder / "metadata.yaml").write_text(_yaml({"rosbag2_bagfile_information": self._information()}))

    def _information(self) -> dict[str, Any]:
        count = sum(topic.count for topic in self._topics.values())
        first_ns = time.time_ns() if self._first_ns is None else self._first_ns
        span = {
            "starting_time": {"nanoseconds_since_epoch": first_ns},
            "duration": {"nanoseconds": max(self._last_ns - first_ns, 0)},
            "message_count": count,
        }
        file_name = f"{self.folder.name}_0.mcap"
        return {
            "version": ROSBAG2_VERSION,
            "storage_identifier": "mcap",
            **span,
            "topics_with_message_count": [
                {
                    "topic_metadata": {
                        "name": name,
                        "type": topic.type_name,
                        "serialization_format": "cdr",
                        "offered_qos_profiles": topic.qos,
                        "type_description_hash": topic.type_hash,
                    },
                    "message_count": topic.count,
                }
                for name, topic in self._topics.items()
            ],
            "compression_format": "",
            "compression_mode": "",
            "relative_file_paths": [file_name],
            "files": [{"path": file_name, **span}],
            "custom_data": None,
            "ros_distro": "rolling",
        }


class _PlainDumper(yaml.SafeDumper):
    """Without anchors and aliases: rosbag2's parser has no need of them, and readers of the file neither."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_PlainDumper, sort_keys=False)

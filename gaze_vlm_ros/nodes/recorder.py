"""ROS 2 node: writes camera, gaze and labels into a training bag, undecoded, and says what it lost.

Subscribes the topics of its parameters; publishes ~/status. See config/record.yaml.
"""

from __future__ import annotations

import importlib
import math
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import MessageInfo

from gaze_vlm_msgs.msg import RecorderStatus, TopicStatus
from gaze_vlm_ros.bag_writer import BagExists, BagNotWritable, BagWriter
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.message_types import UnknownMessageType, describe_type, known_types
from gaze_vlm_ros.nodes.running import NodeFinished, run_node
from gaze_vlm_ros.recording import BagThread, TopicTally, totals_table
from gaze_vlm_ros.session import CAMERA_TYPES, GAZE_COORDINATES, GAZE_TYPE, LABEL_TYPE, POINT_TYPE

# DDS keeps as many for us while Python is busy. Images are large; 200 Hz gaze fills 2000 in ten seconds.
IMAGE_DEPTH = 100
SAMPLE_DEPTH = 2000


class BadParameter(GazeVlmError):
    """A parameter is missing, or has a value that it cannot have."""


class TopicMissing(GazeVlmError):
    """A topic that is to be recorded did not appear in time."""


class WrongTopicType(GazeVlmError):
    """A topic carries something other than its role asks for."""


class _Wanted(NamedTuple):
    """One topic to record. `types`: what it may carry, empty = anything; required: the recording waits for it."""

    name: str
    types: tuple[str, ...]
    required: bool


class Recorder(Node):
    """One executor thread receives serialized messages; a BagThread writes them."""

    def __init__(self) -> None:
        super().__init__("recorder")
        self._declare_parameters()
        self._folder = Path(self._text("bag")).expanduser()
        if not self._text("bag"):
            raise BadParameter("parameter bag is empty, expected the folder to write to, e.g. -p bag:=bags/session_1")
        if self._folder.exists():
            raise BagExists(f"{self._folder} exists already, and bags are never overwritten; give another name")
        self._roles = {role: self._resolved(role) for role in ("camera_topic", "gaze_topic", "label_topic")}
        self._wanted = self._topics_to_record()
        self._tallies: dict[str, TopicTally] = {}
        self._bag: BagThread | None = None
        self._started = time.monotonic()
        self._last_message = math.inf  # time.monotonic(); infinite before the first message
        self._last_report = self._started
        self._state = RecorderStatus.STATE_WAITING
        self._status = self.create_publisher(RecorderStatus, "~/status", 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still, or run fast
        self._waiting = self.create_timer(0.1, self._start_when_all_are_there, clock=steady)
        self.create_timer(1.0, self._report, clock=steady)

    def _declare_parameters(self) -> None:
        def text(name: str, default: str, description: str) -> None:
            self.declare_parameter(name, default, ParameterDescriptor(description=description, read_only=True))

        def number(name: str, default: float, low: float, high: float, description: str) -> None:
            bounds = FloatingPointRange(from_value=low, to_value=high)
            descriptor = ParameterDescriptor(description=description, floating_point_range=[bounds], read_only=True)
            self.declare_parameter(name, default, descriptor)

        text("bag", "", "folder of the new bag; must not exist")
        text("camera_topic", "camera/image_raw/compressed", "Image or CompressedImage")
        text("camera_info_topic", "camera/camera_info", "empty = not recorded")
        text("gaze_topic", "gaze", "gaze_vlm_msgs/GazeStamped, or geometry_msgs/PointStamped; empty = not recorded")
        text("gaze_coordinates", "", f"of a PointStamped: {', '.join(GAZE_COORDINATES)}")
        text("label_topic", "label", "gaze_vlm_msgs/ActionLabel; empty = not recorded")
        text("imu_topic", "imu", "sensor_msgs/Imu; empty = not recorded")
        self.declare_parameter("extra_topics", [""], ParameterDescriptor(description="more topics, of any type"))
        for name in ("session", "person", "task", "scene", "tracker"):
            text(name, "", f"written into the bag: {name}; splits between training and test go by these")
        number("wait_s", 10.0, 0.0, 3600.0, "s to wait for all topics before giving up")
        number("stop_when_silent_s", 0.0, 0.0, 3600.0, "s without any message after which recording ends; 0 = never")
        # Shorter costs file size (an index per chunk), longer costs data in a kill.
        number("flush_s", 0.2, 0.01, 60.0, "s between flushes: what a kill can cost")
        # 2 s of raw 720p at 100 Hz: longer stalls of a disk are rare, and memory is finite.
        number("queue_mb", 512.0, 1.0, 65536.0, "MB that may wait for the disk")

    def _text(self, name: str) -> str:
        return str(self.get_parameter(name).value)

    def _number(self, name: str) -> float:
        return float(self.get_parameter(name).value)

    def _resolved(self, parameter: str) -> str:
        name = self._text(parameter)
        return self.resolve_topic_name(name) if name else ""

    def _topics_to_record(self) -> list[_Wanted]:
        wanted = [
            _Wanted(self._roles["camera_topic"], CAMERA_TYPES, True),
            _Wanted(self._resolved("camera_info_topic"), ("sensor_msgs/msg/CameraInfo",), False),
            _Wanted(self._roles["gaze_topic"], (GAZE_TYPE, POINT_TYPE), True),
            _Wanted(self._roles["label_topic"], (LABEL_TYPE,), False),
            _Wanted(self._resolved("imu_topic"), ("sensor_msgs/msg/Imu",), False),
        ]
        extra = [name for name in self.get_parameter("extra_topics").value if name]
        wanted += [_Wanted(self.resolve_topic_name(name), (), True) for name in extra]
        return [topic for topic in wanted if topic.name]

    def _start_when_all_are_there(self) -> None:
        missing = []
        types = {}
        for topic in self._wanted:
            offered = sorted({info.topic_type for info in self.get_publishers_info_by_topic(topic.name)})
            if topic.types and any(name not in topic.types for name in offered):
                raise WrongTopicType(
                    f"topic {topic.name} carries {' and '.join(offered)}, expected {' or '.join(topic.types)}; "
                    "set the topic's parameter to the right one"
                )
            if len(offered) == 1:
                types[topic.name] = offered[0]
            elif topic.required:
                missing.append(topic.name)
            elif len(topic.types) == 1:
                types[topic.name] = topic.types[0]  # labels may start long after the camera
        waited_s = time.monotonic() - self._started
        if missing and waited_s < self._number("wait_s"):
            return
        if missing:
            there = sorted(name for name, _ in self.get_topic_names_and_types() if self.count_publishers(name))
            raise TopicMissing(
                f"nobody published {', '.join(missing)} within {self._number('wait_s'):g} s; published are "
                f"{', '.join(there) or 'no topics at all'}; start the source, or set the topic's parameter"
            )
        self._waiting.cancel()
        self._start(types)

    def _start(self, types: dict[str, str]) -> None:
        coordinates = self._text("gaze_coordinates")
        if types.get(self._roles["gaze_topic"]) == POINT_TYPE and coordinates not in GAZE_COORDINATES:
            raise BadParameter(
                f"{self._roles['gaze_topic']} carries {POINT_TYPE}, and parameter gaze_coordinates is {coordinates!r}, "
                f"expected one of {', '.join(GAZE_COORDINATES)}: where its origin is and what its unit"
            )
        for type_name in types.values():
            describe_type(type_name)  # before there is a bag: an unknown type must leave none behind
        metadata = {name: self._text(name) for name in ("session", "person", "task", "scene", "tracker")}
        metadata["session"] = metadata["session"] or self._folder.name
        metadata["gaze_coordinates"] = coordinates
        writer = BagWriter(self._folder, {**metadata, **self._roles})
        for name, type_name in types.items():
            publishers = self.get_publishers_info_by_topic(name)
            profiles = [_qos_as_rosbag2_writes_it(info.qos_profile) for info in publishers]
            writer.add_topic(name, type_name, *([profiles] if profiles else []))
            self._tallies[name] = TopicTally(type_name, stamped=_begins_with_header(type_name))
        self._bag = BagThread(writer, self._tallies, int(self._number("queue_mb") * 1e6), self._number("flush_s"))
        for name, type_name in types.items():
            self._subscribe(name, type_name)
        self._state = RecorderStatus.STATE_RECORDING
        print(f"recording {', '.join(types)} to {self._folder}", flush=True)

    def _subscribe(self, name: str, type_name: str) -> None:
        offered = [info.qos_profile for info in self.get_publishers_info_by_topic(name)]
        # The strongest that every publisher offers; asking for more would match none of the weaker.
        reliable = all(qos.reliability == ReliabilityPolicy.RELIABLE for qos in offered)
        latched = bool(offered) and all(qos.durability == DurabilityPolicy.TRANSIENT_LOCAL for qos in offered)
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=IMAGE_DEPTH if type_name in CAMERA_TYPES else SAMPLE_DEPTH,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )
        assert self._bag is not None
        tally, bag = self._tallies[name], self._bag

        def on_message(data: bytes, info: MessageInfo) -> None:
            self._last_message = time.monotonic()
            sequence = info["publication_sequence_number"] or 0
            tally.count(data, sequence)
            # Sequence numbers are 32 bit in MCAP.
            bag.put(name, data, info["received_timestamp"], info["source_timestamp"], sequence & 0xFFFFFFFF)

        self.create_subscription(_message_module_class(type_name), name, on_message, qos, raw=True)

    def _report(self) -> None:
        if self._bag is not None and self._bag.error is not None:
            raise BagNotWritable(
                f"cannot write to {self._folder} any more: {os.strerror(self._bag.error.errno or 0)}; "
                "what was written is kept; make room or give another place"
            )
        now = time.monotonic()
        period_s, self._last_report = now - self._last_report, now
        status = RecorderStatus(state=self._state, bag=str(self._folder), clock_offset=math.nan)
        status.header.stamp = self.get_clock().now().to_msg()
        status.free_bytes = _free_bytes(self._folder)
        for name, tally in self._tallies.items():
            rate = tally.received_since_last_call() / period_s
            status.topics.append(
                TopicStatus(
                    name=name,
                    type=tally.type_name,
                    received=tally.received,
                    written=tally.written,
                    dropped=tally.lost,
                    rate=rate,
                    max_gap=tally.max_gap_s,
                )
            )
        self._status.publish(status)
        if self._state == RecorderStatus.STATE_RECORDING:
            parts = [f"{t.name} {t.received} ({t.rate:.0f} Hz, {t.dropped} lost)" for t in status.topics if t.received]
            print(f"{', '.join(parts) or 'no message yet'}; {status.free_bytes / 1e9:.1f} GB free", flush=True)
        silence_s = self._number("stop_when_silent_s")
        if silence_s and now - self._last_message > silence_s:
            raise NodeFinished()

    def close(self) -> int:
        """Write what waits and the index; print the totals. Returns 1 when anything was lost, or a topic was silent."""
        if self._bag is None:
            return 0
        bag, self._bag = self._bag, None
        try:
            bag.close()
        except OSError as error:
            print(f"recorder: error: the end of {self._folder} was not written: {error.strerror}", file=sys.stderr)
            return 1
        print(totals_table(self._tallies), flush=True)
        lost = sum(tally.lost for tally in self._tallies.values())
        empty = [topic.name for topic in self._wanted if topic.required and not self._tallies[topic.name].received]
        if empty:
            print(f"recorder: error: no message came on {', '.join(empty)}", file=sys.stderr)
        if lost:
            print(f"recorder: error: {lost} messages were lost, see the table", file=sys.stderr)
        print(f"closed {self._folder}", flush=True)
        return 1 if lost or empty else 0


def _message_module_class(type_name: str) -> Any:
    """rclpy's class of e.g. "sensor_msgs/msg/Image"."""
    package, kind, name = type_name.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.{kind}"), name)
    except (ImportError, AttributeError):
        raise UnknownMessageType(f"message type {type_name} is not installed here; source its workspace") from None


def _begins_with_header(type_name: str) -> bool:
    fields = known_types().fielddefs[type_name][1]
    return bool(fields) and fields[0][1][1] == "std_msgs/msg/Header"


def _free_bytes(folder: Path) -> int:
    """Free space where `folder` is, or will be."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


def _qos_as_rosbag2_writes_it(qos: QoSProfile) -> dict[str, Any]:
    def duration(value: Any) -> dict[str, int]:
        seconds, nanoseconds = divmod(value.nanoseconds, 1_000_000_000)
        return {"sec": seconds, "nsec": nanoseconds}

    return {
        "history": qos.history.name.lower(),
        "depth": qos.depth,
        "reliability": qos.reliability.name.lower(),
        "durability": qos.durability.name.lower(),
        "deadline": duration(qos.deadline),
        "lifespan": duration(qos.lifespan),
        "liveliness": qos.liveliness.name.lower(),
        "liveliness_lease_duration": duration(qos.liveliness_lease_duration),
        "avoid_ros_namespace_conventions": qos.avoid_ros_namespace_conventions,
    }


def main() -> int:
    return run_node("recorder", Recorder)


if __name__ == "__main__":
    raise SystemExit(main())

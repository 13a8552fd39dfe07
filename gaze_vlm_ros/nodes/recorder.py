"""ROS 2 node: writes camera, gaze and labels into a training bag, undecoded, and says what it lost.

Subscribes the topics of its parameters; publishes ~/status; serves ~/start_episode, ~/stop_episode and ~/add_label.
See config/record.yaml and docs/recorder.md.
"""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from rclpy.clock import Clock, ClockType
from rclpy.event_handler import (
    QoSRequestedIncompatibleQoSInfo,
    QoSSubscriptionMatchedInfo,
    SubscriptionEventCallbacks,
)
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.subscription import MessageInfo

from gaze_vlm_msgs.msg import ActionLabel, GazeStamped, RecorderStatus, TopicStatus
from gaze_vlm_msgs.srv import AddLabel, StartEpisode, StopEpisode
from gaze_vlm_ros.bags.message_types import begins_with_stamp, describe_type, known_types
from gaze_vlm_ros.bags.roles import CAMERA_TYPES, GAZE_COORDINATES, GAZE_TYPE, LABEL_TYPE, POINT_TYPE
from gaze_vlm_ros.bags.writer import BagExists, BagNotWritable, BagWriter, Split
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.nodes.message_classes import message_class_of
from gaze_vlm_ros.nodes.parameters import BadParameter, Declarations
from gaze_vlm_ros.nodes.qos import rosbag2_qos
from gaze_vlm_ros.nodes.running import NodeFinished, run_node
from gaze_vlm_ros.nodes.screen import Screen
from gaze_vlm_ros.nodes.stamps import time_of
from gaze_vlm_ros.recorder.bag_thread import BagThread
from gaze_vlm_ros.recorder.disk import DiskFull, free_disk_bytes
from gaze_vlm_ros.recorder.episodes import episode_folder, is_bag, set_aside
from gaze_vlm_ros.recorder.keyboard import Keyboard
from gaze_vlm_ros.recorder.tables import TopicState, live_line, live_table, totals_table
from gaze_vlm_ros.recorder.tally import TopicTally
from gaze_vlm_ros.recorder.topic_watch import TopicWatch
from gaze_vlm_ros.recorder.topics import CAMERA_INFO_TYPES, TopicMissing, WantedTopic, WrongTopicType

# DDS keeps as many for us while Python is busy. Images are large; 200 Hz gaze fills 2000 in ten seconds.
IMAGE_DEPTH = 100
SAMPLE_DEPTH = 2000


class Recorder(Node):
    """One executor thread receives serialized messages; a BagThread writes them.

    Without `episodes` one bag from start to end. With them each episode is a bag of its own below the folder `bag`, and
    what comes between two episodes is received and not kept.
    """

    def __init__(self) -> None:
        super().__init__("recorder")
        self._declare_parameters()
        self._folder = Path(self._text("bag")).expanduser()
        self._in_episodes = bool(self.get_parameter("episodes").value)
        self._labels = [text for text in self.get_parameter("labels").value if text]
        if not self._text("bag"):
            raise BadParameter("parameter bag is empty, expected the folder to write to, e.g. -p bag:=bags/session_1")
        if len(self._labels) > 9:
            raise BadParameter(
                f"labels has {len(self._labels)} texts, expected at most 9: one for each of the keys 1 to 9"
            )
        if self._folder.exists() and not self._in_episodes:
            raise BagExists(f"{self._folder} exists already, and bags are never overwritten; give another name")
        if self._in_episodes and is_bag(self._folder):
            raise BagExists(f"{self._folder} is a bag, expected a folder for the bags of episodes; give another name")
        self._roles = {role: self._resolved(role) for role in ("camera_topic", "gaze_topic", "label_topic")}
        self._wanted = self._topics_to_record()
        self._types: dict[str, str] = {}  # of the topics that are recorded, once they are known
        self._watches: dict[str, TopicWatch] = {}
        self._arrived: dict[str, int] = {}  # messages since the last report, recorded or not
        self._arrived_bytes = 0
        self._gaze_seen = [0, 0]  # samples since the last report: valid ones, all
        self._tallies: dict[str, TopicTally] = {}  # of the bag being written, or of the last one
        self._bag: BagThread | None = None
        self._bag_folder: Path | None = None  # of the bag being written
        self._bag_started = 0.0  # time.monotonic()
        self._lost = 0  # messages, in the bags that are closed
        self._matched: dict[str, int] = {}  # publishers that a subscription is connected with
        self._unmatched: list[str] = []  # what a publisher offered, and could not be taken
        self._started = time.monotonic()
        self._last_message = math.inf  # time.monotonic(); infinite before the first message
        self._last_report = self._started
        self._bytes_per_s = 0.0
        self._state = RecorderStatus.STATE_WAITING
        self._status = self.create_publisher(RecorderStatus, "~/status", 10)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still, or run fast
        self._waiting = self.create_timer(0.1, self._start_when_all_are_there, clock=self._steady)
        self.create_timer(self._number("report_s"), self._report, clock=self._steady)
        self.create_timer(0.05, self._take_keys, clock=self._steady)
        self.create_service(AddLabel, "~/add_label", self._on_add_label)
        if self._in_episodes:
            self.create_service(StartEpisode, "~/start_episode", self._on_start_episode)
            self.create_service(StopEpisode, "~/stop_episode", self._on_stop_episode)
        self._shown_lines = 0
        self._screen = Screen()
        self._keyboard = Keyboard()

    def _declare_parameters(self) -> None:
        declare = Declarations(self, fixed=True)
        declare.text("bag", "", "folder of the new bag; must not exist; with episodes: folder of their bags")
        declare.text(
            "camera_topic", "camera/image_raw/compressed", "Image, CompressedImage, or video; see docs/recorder.md"
        )
        declare.text("camera_info_topic", "camera/camera_info", "empty = not recorded")
        declare.text(
            "gaze_topic", "gaze", "gaze_vlm_msgs/GazeStamped, or geometry_msgs/PointStamped; empty = not recorded"
        )
        declare.text("gaze_coordinates", "", f"of a PointStamped: {', '.join(GAZE_COORDINATES)}")
        declare.text("label_topic", "label", "gaze_vlm_msgs/ActionLabel; empty = not recorded")
        declare.text("imu_topic", "imu", "sensor_msgs/Imu; empty = not recorded")
        declare.texts("extra_topics", "more topics, of any type")
        for name in ("session", "person", "task", "scene", "tracker"):
            declare.text(name, "", f"written into the bag: {name}; splits between training and test go by these")
        declare.flag("episodes", False, "a bag for each episode")
        declare.texts("labels", "texts of the label keys 1 to 9")
        declare.number("wait_s", 10.0, 0.0, 3600.0, "s to wait for all topics before giving up")
        declare.number(
            "stop_when_silent_s", 0.0, 0.0, 3600.0, "s without any message after which recording ends; 0 = never"
        )
        # Shorter costs file size (an index per chunk), longer costs data in a kill.
        declare.number("flush_s", 0.2, 0.01, 60.0, "s between flushes: what a kill can cost")
        # Writing goes on meanwhile; syncs that follow each other at once cost throughput.
        declare.number(
            "sync_s", 1.0, 0.0, 3600.0, "s between syncs to the disk: what a loss of power can cost; 0 = the system's"
        )
        # 2 s of raw 720p at 100 Hz: longer stalls of a disk are rare, and memory is finite.
        declare.number("queue_mb", 512.0, 1.0, 65536.0, "MB that may wait for the disk")
        # 4 GB files can be copied to any disk and are opened by any tool; 0 = one file.
        declare.number("split_mb", 4000.0, 0.0, 1e6, "MB after which the bag goes on in another file; 0 = never")
        declare.number("split_s", 0.0, 0.0, 86400.0, "s after which the bag goes on in another file; 0 = never")
        # What waits in memory, the index, and room for the system to go on living.
        declare.number("min_free_mb", 1000.0, 0.0, 1e6, "MB of free disk below which recording ends")
        declare.number("report_s", 1.0, 0.1, 60.0, "s between two reports on screen and on ~/status")

    def _text(self, name: str) -> str:
        return str(self.get_parameter(name).value)

    def _number(self, name: str) -> float:
        return float(self.get_parameter(name).value)

    def _resolved(self, parameter: str) -> str:
        name = self._text(parameter)
        return self.resolve_topic_name(name) if name else ""

    def _topics_to_record(self) -> list[WantedTopic]:
        wanted = [
            WantedTopic(self._roles["camera_topic"], CAMERA_TYPES, True),
            WantedTopic(self._resolved("camera_info_topic"), CAMERA_INFO_TYPES, False),
            WantedTopic(self._roles["gaze_topic"], (GAZE_TYPE, POINT_TYPE), True),
            WantedTopic(self._roles["label_topic"], (LABEL_TYPE,), False),
            WantedTopic(self._resolved("imu_topic"), ("sensor_msgs/msg/Imu",), False),
        ]
        extra = [name for name in self.get_parameter("extra_topics").value if name]
        wanted += [WantedTopic(self.resolve_topic_name(name), (), True) for name in extra]
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
        self._prepare(types)

    def _prepare(self, types: dict[str, str]) -> None:
        """Everything that can be refused is refused here, before there is a bag; then subscribe."""
        coordinates = self._text("gaze_coordinates")
        if types.get(self._roles["gaze_topic"]) == POINT_TYPE and coordinates not in GAZE_COORDINATES:
            raise BadParameter(
                f"{self._roles['gaze_topic']} carries {POINT_TYPE}, and parameter gaze_coordinates is {coordinates!r}, "
                f"expected one of {', '.join(GAZE_COORDINATES)}: where its origin is and what its unit"
            )
        for type_name in types.values():
            describe_type(type_name)  # an unknown type must leave no bag behind
        self._refuse_a_full_disk()
        self._types = types
        for name, type_name in types.items():
            self._arrived[name] = 0
            if type_name not in (LABEL_TYPE, *CAMERA_INFO_TYPES):  # labels come when they come
                self._watches[name] = TopicWatch(name)
        # The bag first: what arrives with the first match belongs into it.
        if self._in_episodes:
            self._state = RecorderStatus.STATE_PAUSED
        else:
            self._open_bag(self._folder)
        for name, type_name in types.items():
            self._subscribe(name, type_name)
        self._waiting = self.create_timer(0.02, self._announce_when_matched, clock=self._steady)

    def _announce_when_matched(self) -> None:
        """Say that recording has begun once data can flow: a publisher that is known is not yet one that is heard."""
        unmatched = [topic.name for topic in self._wanted if topic.required and not self._matched.get(topic.name)]
        if unmatched and time.monotonic() - self._started < self._number("wait_s"):
            return
        if unmatched:
            raise TopicMissing(
                f"{', '.join(unmatched)} announced publishers, and none of them connected within "
                f"{self._number('wait_s'):g} s; let DDS traffic pass between the machines, or restart the source"
            )
        self._waiting.cancel()
        types = self._types
        if self._in_episodes:
            self._screen.show(f"ready for episodes of {', '.join(types)} in {self._folder}")
        else:
            self._screen.show(f"recording {', '.join(types)} to {self._folder}")
        if self._keyboard.is_there:
            self._screen.show(self._keys_help())

    def _refuse_a_full_disk(self) -> None:
        free_bytes, least_mb = free_disk_bytes(self._folder), self._number("min_free_mb")
        if free_bytes < least_mb * 1e6:
            raise DiskFull(
                f"only {free_bytes / 1e6:.0f} MB are free where {self._folder} would be, expected at least "
                f"{least_mb:.0f} (min_free_mb); make room or give another place"
            )

    def _open_bag(self, folder: Path, **metadata: str) -> None:
        described = {name: self._text(name) for name in ("session", "person", "task", "scene", "tracker")}
        described["session"] = described["session"] or folder.name
        described["gaze_coordinates"] = self._text("gaze_coordinates")
        split = Split(int(self._number("split_mb") * 1e6), self._number("split_s"))
        writer = BagWriter(folder, {**described, **self._roles, **metadata}, split)
        self._tallies = {}
        for name, type_name in self._types.items():
            publishers = self.get_publishers_info_by_topic(name)
            profiles = [rosbag2_qos(info.qos_profile) for info in publishers]
            writer.add_topic(name, type_name, *([profiles] if profiles else []))
            self._tallies[name] = TopicTally(type_name, stamped=begins_with_stamp(type_name, known_types()))
        self._bag = BagThread(
            writer, self._tallies, int(self._number("queue_mb") * 1e6), self._number("flush_s"),
            sync_s=self._number("sync_s"),
        )  # fmt: skip
        self._bag_folder, self._bag_started = folder, time.monotonic()
        self._state = RecorderStatus.STATE_RECORDING

    def _close_bag(self) -> str:
        """Write what waits, totals and index; the table of totals. Raises OSError when the disk does not take them."""
        assert self._bag is not None
        bag, self._bag = self._bag, None
        try:
            bag.close()
        finally:
            self._lost += sum(tally.lost for tally in self._tallies.values())
        waiting_mb = bag.most_waiting_bytes / 1e6
        return (
            f"{totals_table(self._tallies)}\n"
            f"at most {waiting_mb:.1f} MB waited for the disk; the longest write took {bag.longest_write_s:.3f} s"
        )

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
        message_class = message_class_of(type_name)
        is_gaze = type_name == GAZE_TYPE

        def on_message(data: bytes, info: MessageInfo) -> None:
            self._last_message = time.monotonic()
            self._arrived[name] += 1
            self._arrived_bytes += len(data)
            if is_gaze:
                self._note_validity(deserialize_message(data, message_class))
            if self._bag is None:
                return
            sequence = info["publication_sequence_number"] or 0
            # Each publisher numbers its own messages; older rclpy does not tell them apart.
            publisher = bytes((info.get("publisher_gid") or {}).get("data", b""))
            self._tallies[name].count(data, sequence, publisher)
            # Sequence numbers are 32 bit in MCAP.
            self._bag.put(name, data, info["received_timestamp"], info["source_timestamp"], sequence & 0xFFFFFFFF)

        def on_incompatible(event: QoSRequestedIncompatibleQoSInfo) -> None:
            policy = QoSPolicyKind(event.last_policy_kind).name.lower()
            text = f"a publisher of {name} that came later offers another {policy}, and nothing of it is recorded"
            self._unmatched.append(text)
            self._say(f"recorder: error: {text}; start the recorder after it", sys.stderr)

        def on_matched(event: QoSSubscriptionMatchedInfo) -> None:
            self._matched[name] = event.current_count

        callbacks = SubscriptionEventCallbacks(incompatible_qos=on_incompatible, matched=on_matched)
        self.create_subscription(message_class, name, on_message, qos, raw=True, event_callbacks=callbacks)

    def _note_validity(self, sample: GazeStamped) -> None:
        on_image = not sample.image_width or (
            0 <= sample.x < sample.image_width and 0 <= sample.y < sample.image_height
        )
        is_valid = sample.worn != GazeStamped.WORN_NO and math.isfinite(sample.x) and on_image
        self._gaze_seen[0] += is_valid
        self._gaze_seen[1] += 1

    # Episodes and labels.

    def _on_start_episode(self, request: StartEpisode.Request, response: StartEpisode.Response) -> Any:
        response.success, response.message, response.episode_id = self._start_episode(request.episode_id, request.task)
        return response

    def _on_stop_episode(self, request: StopEpisode.Request, response: StopEpisode.Response) -> Any:
        response.success, response.message, response.episode_id = self._stop_episode(request.keep)
        return response

    def _on_add_label(self, request: AddLabel.Request, response: AddLabel.Response) -> Any:
        response.success, response.message = self._add_label(request.label)
        return response

    def _start_episode(self, episode_id: str = "", task: str = "") -> tuple[bool, str, str]:
        """(whether it began, what to tell, its id)."""
        if self._state == RecorderStatus.STATE_WAITING:
            return False, "still waiting for topics; start an episode when the recorder says it is ready", ""
        if self._bag is not None:
            return False, f"episode {self._episode_id()} is being recorded; stop it first", self._episode_id()
        try:
            self._refuse_a_full_disk()
            folder = episode_folder(self._folder, episode_id)
            self._open_bag(folder, **({"task": task} if task else {}), session=self._text("session") or folder.name)
        except GazeVlmError as error:
            return False, str(error), ""
        self._say(f"episode {folder.name} began")
        return True, "", folder.name

    def _stop_episode(self, keep: bool) -> tuple[bool, str, str]:
        """(whether it is closed, what to tell, its id)."""
        if self._bag is None:
            return False, "no episode is being recorded", ""
        assert self._bag_folder is not None
        folder = self._bag_folder
        self._state = RecorderStatus.STATE_PAUSED
        try:
            table = self._close_bag()
        except OSError as error:
            text = f"the end of episode {folder.name} was not written: {error.strerror}"
            self._say(f"recorder: error: {text}", sys.stderr)
            return False, text, folder.name
        if not keep:
            aside = set_aside(folder)
            self._say(f"episode {folder.name} discarded; it is kept aside as {aside}")
            return True, "", folder.name
        self._say(f"{table}\nepisode {folder.name} kept: {folder}")
        lost = sum(tally.lost for tally in self._tallies.values())
        return True, f"{lost} messages were lost" if lost else "", folder.name

    def _episode_id(self) -> str:
        return self._bag_folder.name if self._in_episodes and self._bag is not None and self._bag_folder else ""

    def _add_label(self, label: ActionLabel) -> tuple[bool, str]:
        """Write a label into the bag; (whether it is in, what to tell)."""
        topic = self._roles["label_topic"]
        if self._bag is None:
            return False, "nothing is being recorded"
        if topic not in self._tallies:
            return False, "labels are not recorded: parameter label_topic is empty"
        now_ns = self.get_clock().now().nanoseconds
        if not label.header.stamp.sec and not label.header.stamp.nanosec:
            label.header.stamp = time_of(now_ns)
        tally = self._tallies[topic]
        data = serialize_message(label)
        tally.count(data, 0, b"recorder")
        self._bag.put(topic, data, now_ns, now_ns, 0)
        self._say(f"label: {label.text or '(none from here on)'}")
        return True, ""

    def _keys_help(self) -> str:
        episodes = "s start, k keep, d discard an episode; " if self._in_episodes else ""
        labels = "".join(f"{number} {text!r}, " for number, text in enumerate(self._labels, 1))
        return f"keys: {episodes}{labels}0 no label from here on, q quit"

    def _take_keys(self) -> None:
        for key in self._keyboard.pressed():
            told = ""
            if key == "q":
                raise NodeFinished()
            if key == "s" and self._in_episodes:
                _, told, _ = self._start_episode()
            elif key in "kd" and self._in_episodes:
                _, told, _ = self._stop_episode(keep=key == "k")
            elif key.isdigit() and int(key) <= len(self._labels):
                _, told = self._add_label(ActionLabel(text=self._labels[int(key) - 1] if key != "0" else ""))
            else:
                told = self._keys_help()
            if told:
                self._say(told)

    # What is going on.

    def _say(self, text: str, stream: TextIO | None = None) -> None:
        """Print a line that stays, above the table that is drawn anew each second."""
        self._shown_lines = 0
        self._screen.show(text, stream)

    def _report(self) -> None:
        if self._bag is not None and self._bag.error is not None:
            raise BagNotWritable(
                f"cannot write to {self._bag_folder} any more: {os.strerror(self._bag.error.errno or 0)}; "
                "what was written is kept; make room or give another place"
            )
        now = time.monotonic()
        period_s, self._last_report = now - self._last_report, now
        free_bytes = free_disk_bytes(self._folder)
        states = self._topic_states(period_s, now)
        self._publish_status(states, free_bytes)
        if self._types:
            self._show(states, free_bytes)
        if self._bag is not None and free_bytes < self._number("min_free_mb") * 1e6:
            self._say(
                f"recorder: error: only {free_bytes / 1e6:.0f} MB are free, less than min_free_mb, "
                f"{self._number('min_free_mb'):.0f}; recording ends here, and what was recorded is whole",
                sys.stderr,
            )
            raise NodeFinished(1)
        silence_s = self._number("stop_when_silent_s")
        if silence_s and now - self._last_message > silence_s:
            raise NodeFinished()

    def _topic_states(self, period_s: float, now: float) -> list[TopicState]:
        states = []
        for name in self._types:
            count, self._arrived[name] = self._arrived[name], 0
            if name in self._watches and (change := self._watches[name].report(count, period_s, now)):
                self._say(f"recorder: warning: {change}", sys.stderr)
            tally = self._tallies.get(name) or TopicTally(self._types[name], stamped=False)
            note = ""
            if name == self._roles["gaze_topic"] and self._gaze_seen[1]:
                note = f"{self._gaze_seen[0] / self._gaze_seen[1]:.0%} valid"
            states.append(TopicState(name, count / period_s, tally, note))
        self._gaze_seen = [0, 0]
        self._bytes_per_s += (self._arrived_bytes / period_s - self._bytes_per_s) / 5  # over about five reports
        self._arrived_bytes = 0
        return states

    def _show(self, states: list[TopicState], free_bytes: int) -> None:
        usable = free_bytes - self._number("min_free_mb") * 1e6
        seconds_left = usable / self._bytes_per_s if self._bytes_per_s > 1 else math.inf
        doing = "between episodes"
        if self._bag is not None:
            doing = f"recording {self._episode_id()}".rstrip() + f" for {time.monotonic() - self._bag_started:.0f} s"
        if not sys.stdout.isatty():
            self._screen.show(live_line(states, free_bytes, seconds_left, doing), passing=True)
            return
        table = live_table(states, free_bytes, seconds_left, doing)
        # Over the last one: so many lines up, and clear from there.
        up = f"\033[{self._shown_lines}A\033[J" if self._shown_lines else ""
        if self._screen.show(up + table, passing=True):
            self._shown_lines = table.count("\n") + 1

    def _publish_status(self, states: list[TopicState], free_bytes: int) -> None:
        status = RecorderStatus(
            state=self._state, bag=str(self._bag_folder or self._folder), clock_offset=math.nan, free_bytes=free_bytes
        )
        status.episode_id = self._episode_id()
        status.header.stamp = self.get_clock().now().to_msg()
        status.topics = [
            TopicStatus(
                name=topic.name,
                type=topic.tally.type_name,
                received=topic.tally.received,
                written=topic.tally.written,
                dropped=topic.tally.lost,
                rate=topic.rate_hz,
                max_gap=topic.tally.max_gap_s,
            )
            for topic in states
        ]
        self._status.publish(status)

    def close(self) -> int:
        """Close the bag; print the totals. Returns 1 when anything was lost, or a topic was silent.

        An episode that is being recorded is kept.
        """
        self._keyboard.close()
        try:
            return self._close()
        finally:
            self._screen.close()

    def _close(self) -> int:
        if self._bag is not None:
            try:
                self._screen.show(self._close_bag())
            except OSError as error:
                self._screen.show(
                    f"recorder: error: the end of {self._bag_folder} was not written: {error.strerror}", sys.stderr
                )
                return 1
            empty = [t.name for t in self._wanted if t.required and not self._tallies[t.name].received]
            if empty:
                self._screen.show(f"recorder: error: no message came on {', '.join(empty)}", sys.stderr)
                self._unmatched += empty
            self._screen.show(f"closed {self._bag_folder}")
        if self._lost:
            self._screen.show(f"recorder: error: {self._lost} messages were lost, see the table", sys.stderr)
        return 1 if self._lost or self._unmatched else 0


def main() -> int:
    return run_node("recorder", Recorder)


if __name__ == "__main__":
    raise SystemExit(main())

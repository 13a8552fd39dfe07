"""ROS 2 node: records camera, gaze and labels into training bags, undecoded, and reports what was lost.

Subscribes to the topics of its parameters; publishes ~/status; serves ~/start_episode, ~/stop_episode and ~/add_label.
See config/record.yaml and docs/recorder.md.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.event_handler import (
    QoSRequestedIncompatibleQoSInfo,
    QoSSubscriptionMatchedInfo,
    SubscriptionEventCallbacks,
)
from rclpy.node import Node
from rclpy.qos import QoSPolicyKind
from rclpy.serialization import serialize_message

from gaze_vlm_msgs.msg import ActionLabel, GazeStamped, RecorderStatus
from gaze_vlm_msgs.srv import AddLabel, StartEpisode, StopEpisode
from gaze_vlm_ros.bags.message_types import deserialize
from gaze_vlm_ros.bags.roles import CAMERA_TYPES, GAZE_TYPE
from gaze_vlm_ros.bags.writer import BagNotWritable
from gaze_vlm_ros.nodes.barrier import Barrier
from gaze_vlm_ros.nodes.graph_view import Feelers, blindness_text
from gaze_vlm_ros.nodes.message_classes import message_class_of
from gaze_vlm_ros.nodes.parameters import topic_name
from gaze_vlm_ros.nodes.qos import recording_qos, rosbag2_qos
from gaze_vlm_ros.nodes.recorder_parameters import declare_parameters, read_parameters
from gaze_vlm_ros.nodes.recorder_status import recorder_status
from gaze_vlm_ros.nodes.running import NodeFinished, run_node
from gaze_vlm_ros.nodes.screen import Screen
from gaze_vlm_ros.nodes.stamps import time_of
from gaze_vlm_ros.recorder.bag_session import BagSession, Outcome
from gaze_vlm_ros.recorder.disk import free_disk_bytes
from gaze_vlm_ros.recorder.keyboard import Action, KeyBindings, Keyboard
from gaze_vlm_ros.recorder.live_statistics import LiveStatistics, is_valid_gaze
from gaze_vlm_ros.recorder.tables import TopicState, live_line, live_table
from gaze_vlm_ros.recorder.tally import MIXED
from gaze_vlm_ros.recorder.topics import TopicMissing, TopicWait


class Recorder(Node):
    """Hands serialized messages from one executor thread to a BagSession, which writes them in a thread of its own."""

    def __init__(self) -> None:
        super().__init__("recorder")
        declare_parameters(self)
        self._config = read_parameters(self)
        settings = self._config.bag_settings(partial(topic_name, self))
        self._folder = settings.folder
        self._gaze_topic = settings.metadata["gaze_topic"]
        self._min_free_bytes = settings.min_free_bytes
        self._topic_wait = TopicWait(
            self._config.topics(partial(topic_name, self)), self._config.wait_s, blindness_text()
        )
        self._screen = Screen(self)
        self.log = self._screen.log
        self.barrier = Barrier(lambda text: self._screen.show(f"recorder: warning: {text}", sys.stderr))
        self._session = BagSession(settings, self._offered_qos, self._screen.show, self._show_error)
        self._started_s = time.monotonic()
        self._statistics = LiveStatistics(self._gaze_topic, self._started_s)
        any_type = CAMERA_TYPES[:1]
        self._feelers = Feelers(
            self, {wanted.name: (wanted.types or any_type)[0] for wanted in self._topic_wait.topics}
        )
        self._types: dict[str, str] = {}  # of the topics that are recorded, once they are known
        self._connections: dict[str, int] = {}  # publishers that a subscription is connected to
        self._gave_up = False  # since a topic that is required stayed silent
        self._connected: dict[str, int] = {}  # likewise, those of before included
        self._has_unheard_publisher = False  # one whose quality of service does not match our subscription
        self._status = self.create_publisher(RecorderStatus, "~/status", 10)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still, or run fast
        self._waiting = self.create_timer(0.1, self._begin_when_all_are_there, clock=self._steady)
        self.create_timer(self._config.report_s, self._report, clock=self._steady)
        self.create_timer(0.05, self._take_keys, clock=self._steady)
        self._serve(AddLabel, "~/add_label", self._on_add_label)
        if settings.in_episodes:
            self._serve(StartEpisode, "~/start_episode", self._on_start_episode)
            self._serve(StopEpisode, "~/stop_episode", self._on_stop_episode)
        self._keys = KeyBindings(self._config.labels, settings.in_episodes)
        self._keyboard = Keyboard()

    # Starting.

    def _offered_qos(self, topic: str) -> list[dict[str, Any]]:
        return [rosbag2_qos(info.qos_profile) for info in self.get_publishers_info_by_topic(topic)]

    def _published_topics(self) -> list[str]:
        return sorted(name for name, _ in self.get_topic_names_and_types() if self.count_publishers(name))

    def _begin_when_all_are_there(self) -> None:
        offered = {
            topic.name: {info.topic_type for info in self.get_publishers_info_by_topic(topic.name)}
            for topic in self._topic_wait.topics
        }
        types = self._topic_wait.types(offered, time.monotonic() - self._started_s, self._published_topics)
        if types is None or not self._feelers.let_go():
            return
        self._waiting.cancel()
        self._config.check_gaze_coordinates(self._gaze_topic, types)
        # Open the bag before subscribing: what arrives with the first match belongs into it.
        self._session.begin(types)
        self._types = types
        self._statistics.add_topics(types)
        for name, type_name in types.items():
            self._subscribe(name, type_name)
        self._waiting = self.create_timer(0.02, self._announce_when_connected, clock=self._steady)

    def _announce_when_connected(self) -> None:
        if not self._topic_wait.is_connected(self._connections, time.monotonic() - self._started_s):
            return
        self._waiting.cancel()
        topics = ", ".join(self._types)
        if self._config.episodes:
            self._screen.show(f"ready for episodes of {topics} in {self._folder}")
        else:
            self._screen.show(f"recording {topics} to {self._folder}")
        if self._keyboard.is_there:
            self._screen.show(self._keys.help)
        self._connected_s = time.monotonic()
        self._waiting = self.create_timer(0.1, self._end_unless_heard, clock=self._steady)

    def _end_unless_heard(self) -> None:
        try:
            if self._topic_wait.is_heard(self._statistics.heard, time.monotonic() - self._connected_s):
                self._waiting.cancel()
        except TopicMissing:
            self._gave_up = True
            raise

    def _subscribe(self, name: str, type_name: str) -> None:
        message_class = message_class_of(type_name)
        is_gaze = type_name == GAZE_TYPE

        def on_message(data: bytes, info: Mapping[str, Any]) -> None:
            self._statistics.count(name, len(data), time.monotonic())
            publisher = self._publisher(name, info)
            sequence = info["publication_sequence_number"] or 0
            if is_gaze:
                try:
                    self._count_gaze(deserialize(data, type_name))
                except Exception:  # of whatever bytes that are no such message lead to
                    self._session.refuse(name, sequence, publisher)
                    raise
            self._session.write(name, data, info["received_timestamp"], info["source_timestamp"], sequence, publisher)

        def on_incompatible(event: QoSRequestedIncompatibleQoSInfo) -> None:
            policy = QoSPolicyKind(event.last_policy_kind).name.lower()
            self._has_unheard_publisher = True
            self._show_error(
                f"a publisher of {name} that came later offers another {policy}, and nothing of it is recorded; "
                "start the recorder after it"
            )

        def on_matched(event: QoSSubscriptionMatchedInfo) -> None:
            self._connections[name], self._connected[name] = event.current_count, event.total_count

        qos = recording_qos(type_name, [info.qos_profile for info in self.get_publishers_info_by_topic(name)])
        callbacks = SubscriptionEventCallbacks(incompatible_qos=on_incompatible, matched=on_matched)
        callback: Any = on_message  # rclpy of Jazzy declares callbacks of one argument, and calls those of two as well
        self.create_subscription(message_class, name, callback, qos, raw=True, event_callbacks=callbacks)

    def _publisher(self, topic: str, info: Mapping[str, Any]) -> bytes:
        """Return an id of who published a message: each publisher numbers its own.

        rclpy of Jazzy gives none. There it is known while a topic has one publisher: a new one whenever one connects.
        """
        if gid := info.get("publisher_gid"):
            return bytes(gid["data"])
        return MIXED if self._connections.get(topic, 0) > 1 else str(self._connected.get(topic, 0)).encode()

    def _count_gaze(self, sample: GazeStamped) -> None:
        image_size = (sample.image_width, sample.image_height)
        self._statistics.count_gaze(is_valid_gaze(sample.x, sample.y, image_size, sample.worn != GazeStamped.WORN_NO))

    # Episodes and labels.

    def _serve(self, kind: Any, name: str, callback: Callable[[Any, Any], Any]) -> None:
        self.create_service(kind, name, self.barrier.answering(self.resolve_service_name(name), callback))

    def _on_start_episode(self, request: StartEpisode.Request, response: StartEpisode.Response) -> Any:
        outcome = self._session.start_episode(request.episode_id, request.task)
        response.success, response.message, response.episode_id = outcome
        return response

    def _on_stop_episode(self, request: StopEpisode.Request, response: StopEpisode.Response) -> Any:
        response.success, response.message, response.episode_id = self._session.stop_episode(request.keep)
        return response

    def _on_add_label(self, request: AddLabel.Request, response: AddLabel.Response) -> Any:
        response.success, response.message, _ = self._add_label(request.label)
        return response

    def _add_label(self, label: ActionLabel) -> Outcome:
        now_ns = self.get_clock().now().nanoseconds
        if not label.header.stamp.sec and not label.header.stamp.nanosec:
            label.header.stamp = time_of(now_ns)
        return self._session.add_label(label.text, serialize_message(label), now_ns)

    def _take_keys(self) -> None:
        for key in self._keyboard.pressed():
            command = self._keys.command(key)
            text = ""
            if command.action is Action.QUIT:
                raise NodeFinished()
            if command.action is Action.START:
                text = self._session.start_episode().message
            elif command.action in (Action.KEEP, Action.DISCARD):
                text = self._session.stop_episode(keep=command.action is Action.KEEP).message
            elif command.action is Action.LABEL:
                text = self._add_label(ActionLabel(text=command.label)).message
            else:
                text = self._keys.help
            if text:
                self._screen.show(text)

    # Reports.

    def _show_error(self, text: str) -> None:
        self._screen.show(f"recorder: error: {text}", sys.stderr)

    def _report(self) -> None:
        if error := self._session.write_error:
            raise BagNotWritable(
                f"cannot write to {self._session.folder} any more: {os.strerror(error.errno or 0)}; "
                "what was written is kept; free some space, or write to another disk"
            )
        now_s = time.monotonic()
        states, changes = self._statistics.report(self._session.tallies, now_s)
        for change in changes:
            self._screen.show(f"recorder: warning: {change}", sys.stderr)
        free_bytes = free_disk_bytes(self._folder)
        self._status.publish(recorder_status(self._session, states, free_bytes, self.get_clock().now().to_msg()))
        if self._types:
            self._show_states(states, free_bytes)
        if self._session.is_recording and free_bytes < self._min_free_bytes:
            self._show_error(
                f"only {free_bytes / 1e6:.0f} MB are free, less than min_free_mb, {self._min_free_bytes / 1e6:.0f}; "
                "recording ends here, and what was recorded is whole"
            )
            raise NodeFinished(1)
        longest_silence_s = self._config.stop_when_silent_s
        if longest_silence_s and self._statistics.silence_s(now_s) > longest_silence_s:
            raise NodeFinished()

    def _show_states(self, states: list[TopicState], free_bytes: int) -> None:
        seconds_left = self._statistics.seconds_left(free_bytes - self._min_free_bytes)
        if sys.stdout.isatty():
            self._screen.redraw(live_table(states, free_bytes, seconds_left, self._session.doing))
        else:
            self._screen.show(live_line(states, free_bytes, seconds_left, self._session.doing), passing=True)

    def close(self) -> int:
        """Close the bag and print the totals; an episode that is being recorded is kept.

        Return 1 when messages were lost, a required topic was silent, or a publisher could not be heard.
        """
        self._keyboard.close()
        try:
            required = [topic.name for topic in self._topic_wait.topics if topic.required and not self._gave_up]
            complete = self._session.finish(required)
            return 0 if complete and not self._has_unheard_publisher else 1
        finally:
            self._screen.close()


def main() -> int:
    """Run the recorder node until it is stopped; return the exit code."""
    return run_node("recorder", Recorder)


if __name__ == "__main__":
    raise SystemExit(main())

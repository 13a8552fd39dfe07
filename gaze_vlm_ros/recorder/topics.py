"""Topics to record: which of them a recording waits for, and which types they may carry."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gaze_vlm_ros.bags.roles import CAMERA_TYPES, GAZE_TYPE, LABEL_TYPE, POINT_TYPE
from gaze_vlm_ros.errors import GazeVlmError

CAMERA_INFO_TYPES = ("sensor_msgs/msg/CameraInfo",)
IMU_TYPES = ("sensor_msgs/msg/Imu",)


class TopicMissing(GazeVlmError):
    """A required topic did not appear, or did not connect, in time."""


class WrongTopicType(GazeVlmError):
    """A topic carries a message type that its role does not allow."""


class WantedTopic(NamedTuple):
    """One topic to record."""

    name: str  # fully resolved
    types: tuple[str, ...]  # allowed message types; empty = any
    required: bool  # the recording waits for it


def wanted_topics(
    *, camera: str, camera_info: str, gaze: str, label: str, imu: str, extra: Sequence[str]
) -> tuple[WantedTopic, ...]:
    """Return the topics to record, given the resolved topic name for each role; an empty name leaves a topic out."""
    topics = [
        WantedTopic(camera, CAMERA_TYPES, True),
        WantedTopic(camera_info, CAMERA_INFO_TYPES, False),
        WantedTopic(gaze, (GAZE_TYPE, POINT_TYPE), True),
        WantedTopic(label, (LABEL_TYPE,), False),
        WantedTopic(imu, IMU_TYPES, False),
        *(WantedTopic(name, (), True) for name in extra),
    ]
    return tuple(topic for topic in topics if topic.name)


@dataclass(frozen=True)
class TopicWait:
    """Decides when all topics are there: their publishers and types, connections with the publishers, then messages."""

    topics: tuple[WantedTopic, ...]
    wait_s: float  # how long required topics may take, from the start of the node; then again, to their first message
    hint: str = ""  # end of the error about a topic without a publisher

    def types(
        self, offered: Mapping[str, Collection[str]], waited_s: float, published: Callable[[], Sequence[str]]
    ) -> dict[str, str] | None:
        """Return the message type of each topic to record, or None while a required topic is missing.

        An optional topic without a publisher is recorded too where its type can only be one: labels may start long
        after the camera.

        offered: types that publishers of each topic offer now. published: names every published topic, for the error.
        Raises WrongTopicType, and TopicMissing after `wait_s`.
        """
        missing = []
        found = {}
        for topic in self.topics:
            types = sorted(offered.get(topic.name, ()))
            if topic.types and any(name not in topic.types for name in types):
                raise WrongTopicType(
                    f"topic {topic.name} carries {' and '.join(types)}, expected {' or '.join(topic.types)}; "
                    "set the topic's parameter to the right topic"
                )
            if len(types) == 1:
                found[topic.name] = types[0]
            elif topic.required:
                missing.append(topic.name)
            elif len(topic.types) == 1:
                found[topic.name] = topic.types[0]
        if not missing:
            return found
        if waited_s < self.wait_s:
            return None
        raise TopicMissing(
            f"no publisher of {', '.join(missing)} appeared within {self.wait_s:g} s; published topics: "
            f"{', '.join(published()) or 'none'}; start the source, or set the topic's parameter{self.hint}"
        )

    def is_connected(self, connections: Mapping[str, int], waited_s: float) -> bool:
        """Whether every required topic has a connected publisher: a publisher that is known may not be heard yet.

        connections: publishers that each subscription is connected to. Raises TopicMissing after `wait_s`.
        """
        unconnected = [topic.name for topic in self.topics if topic.required and not connections.get(topic.name)]
        if unconnected and waited_s >= self.wait_s:
            raise TopicMissing(
                f"the publishers of {', '.join(unconnected)} are known, but none connected within {self.wait_s:g} s; "
                "let DDS traffic pass between the machines, or restart the source"
            )
        return not unconnected

    def is_heard(self, heard: Collection[str], waited_s: float) -> bool:
        """Whether camera and gaze have had a message: a driver may announce its topics and find no device.

        Topics of any type may be rare, and are not waited for. heard: topics that had a message. waited_s: since
        they are connected. Raises TopicMissing after `wait_s`.
        """
        silent = [topic.name for topic in self.topics if topic.required and topic.types and topic.name not in heard]
        if silent and waited_s >= self.wait_s:
            raise TopicMissing(
                f"no message came on {', '.join(silent)} within {self.wait_s:g} s, though somebody publishes there; "
                "see what the source says, or set wait_s"
            )
        return not silent

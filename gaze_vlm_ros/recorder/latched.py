"""Latched messages: what publishers keep for late subscribers, such as a robot's description. No ROS here.

A bag that begins later, or a file after a split, would lack them, since they are sent once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from gaze_vlm_ros.bags.roles import CAMERA_TYPES, GAZE_TYPE, LABEL_TYPE, POINT_TYPE
from gaze_vlm_ros.recorder.tally import MAX_PUBLISHERS
from gaze_vlm_ros.recorder.topics import IMU_TYPES

# A label, picture or sample of before is no part of an episode, even where its publisher keeps it.
NEVER_REPEATED = (*CAMERA_TYPES, GAZE_TYPE, POINT_TYPE, LABEL_TYPE, *IMU_TYPES)


class LatchedMessages:
    """The last message of each publisher of each topic."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, bytes], bytes] = {}

    def note(self, topic: str, publisher: bytes, data: bytes) -> None:
        """Take a message in place of the publisher's last one."""
        key = topic, publisher
        self._last.pop(key, None)
        self._last[key] = data
        if len(self._last) > MAX_PUBLISHERS:
            del self._last[next(iter(self._last))]

    def of(self, topics: Collection[str]) -> LatchedMessages:
        """Return a copy with the messages of `topics` only."""
        found = LatchedMessages()
        found._last = {key: data for key, data in self._last.items() if key[0] in topics}
        return found

    def __iter__(self) -> Iterator[tuple[str, bytes, bytes]]:
        """Yield topic, publisher and data, in the order of arrival."""
        for (topic, publisher), data in self._last.items():
            yield topic, publisher, data

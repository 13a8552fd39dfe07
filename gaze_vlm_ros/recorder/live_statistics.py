"""Counts what arrives between two reports, and turns it into the state of each topic. No ROS here."""

from __future__ import annotations

import math
from collections.abc import Mapping

from gaze_vlm_ros.bags.roles import LABEL_TYPE
from gaze_vlm_ros.recorder.tables import TopicState
from gaze_vlm_ros.recorder.tally import TopicTally
from gaze_vlm_ros.recorder.topic_watch import TopicWatch
from gaze_vlm_ros.recorder.topics import CAMERA_INFO_TYPES

SMOOTHED_REPORTS = 5  # the data rate is smoothed over about so many reports: images differ in size
UNWATCHED_TYPES = (LABEL_TYPE, *CAMERA_INFO_TYPES)  # may be rare or irregular, so that silence means nothing


def is_valid_gaze(x: float, y: float, image_size: tuple[int, int], worn: bool) -> bool:
    """Whether a gaze sample is a number, on the image (size 0 = unknown), and of glasses that are not taken off."""
    width, height = image_size
    on_image = not width or (0 <= x < width and 0 <= y < height)
    return worn and math.isfinite(x) and on_image


class LiveStatistics:
    """Counts messages, recorded or not, and reports each topic's rate, its changes and the data rate.

    gaze_topic: the topic whose share of valid samples is reported.
    """

    def __init__(self, gaze_topic: str, now_s: float) -> None:
        self._gaze_topic = gaze_topic
        self.heard: set[str] = set()  # topics that had a message
        self._types: dict[str, str] = {}
        self._watches: dict[str, TopicWatch] = {}
        self._arrived: dict[str, int] = {}  # messages since the last report
        self._arrived_bytes = 0  # since the last report
        self._gaze_valid = self._gaze_seen = 0  # samples since the last report
        self._last_report_s = now_s
        self._last_message_s = math.inf  # infinite before the first message
        self._bytes_per_s = 0.0

    def add_topics(self, types: Mapping[str, str]) -> None:
        """Start to count topics of these message types."""
        self._types.update(types)
        self._arrived.update(dict.fromkeys(types, 0))
        for name, type_name in types.items():
            if type_name not in UNWATCHED_TYPES:
                self._watches[name] = TopicWatch(name)

    def count(self, topic: str, size: int, now_s: float) -> None:
        """Count one received message of `size` bytes."""
        self._last_message_s = now_s
        self.heard.add(topic)
        self._arrived[topic] += 1
        self._arrived_bytes += size

    def count_gaze(self, is_valid: bool) -> None:
        """Count one gaze sample for the share of valid ones."""
        self._gaze_valid += is_valid
        self._gaze_seen += 1

    def report(self, tallies: Mapping[str, TopicTally], now_s: float) -> tuple[list[TopicState], list[str]]:
        """Return each topic's state, and a text for each topic that changed; start the next report period.

        tallies: counts of the bag that is open, or of the last one. now_s: the same steady clock as of `count`.
        """
        period_s, self._last_report_s = now_s - self._last_report_s, now_s
        states, changes = [], []
        for name, type_name in self._types.items():
            count, self._arrived[name] = self._arrived[name], 0
            if name in self._watches and (change := self._watches[name].report(count, period_s, now_s)):
                changes.append(change)
            note = ""
            if name == self._gaze_topic and self._gaze_seen:
                note = f"{self._gaze_valid / self._gaze_seen:.0%} valid"
            tally = tallies.get(name) or TopicTally(type_name, stamped=False)
            states.append(TopicState(name, count / period_s, tally, note))
        self._gaze_valid = self._gaze_seen = 0
        self._bytes_per_s += (self._arrived_bytes / period_s - self._bytes_per_s) / SMOOTHED_REPORTS
        self._arrived_bytes = 0
        return states, changes

    def seconds_left(self, usable_bytes: float) -> float:
        """Return for how many s `usable_bytes` of disk last at the present data rate; infinite where nothing comes."""
        return usable_bytes / self._bytes_per_s if self._bytes_per_s > 1 else math.inf

    def silence_s(self, now_s: float) -> float:
        """Return the s since the last message; not above 0 before the first one."""
        return now_s - self._last_message_s

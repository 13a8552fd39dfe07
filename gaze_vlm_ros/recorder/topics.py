"""Topics to record: which are required, and which types they may carry."""

from __future__ import annotations

from typing import NamedTuple

from gaze_vlm_ros.errors import GazeVlmError

CAMERA_INFO_TYPES = ("sensor_msgs/msg/CameraInfo",)


class TopicMissing(GazeVlmError):
    """A topic that is to be recorded did not appear in time."""


class WrongTopicType(GazeVlmError):
    """A topic carries something other than its role asks for."""


class WantedTopic(NamedTuple):
    """One topic to record. `types`: what it may carry, empty = anything; required: the recording waits for it."""

    name: str
    types: tuple[str, ...]
    required: bool

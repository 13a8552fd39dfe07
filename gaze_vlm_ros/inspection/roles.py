"""Camera, gaze and labels of a bag as training takes them, or the reason why there are none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gaze_vlm_ros.bags.errors import UnreadableMessage
from gaze_vlm_ros.bags.reader import Bag
from gaze_vlm_ros.bags.roles import (
    CAMERA_TYPES,
    GAZE_TYPE,
    LABEL_TYPE,
    UnclearRole,
    camera_stream,
    gaze_stream,
    label_stream,
)
from gaze_vlm_ros.bags.topic_stream import TopicStream
from gaze_vlm_ros.labels.label_file import BadLabelFile, LabelFile, OtherBagsLabels, track_of
from gaze_vlm_ros.labels.track import LabelTrack
from gaze_vlm_ros.session.gaze_track import GazeTrack, UnclearGaze, read_gaze
from gaze_vlm_ros.session.label_reading import label_file_of, read_labels
from gaze_vlm_ros.video.frame_stream import FrameStream
from gaze_vlm_ros.video.images import DamagedImage, UnknownEncoding


@dataclass(frozen=True)
class RoleSummary:
    """What training takes for the camera, the gaze or the labels: a topic, or else why there is none."""

    topic: str | None
    reason: str


def camera_of(bag: Bag) -> tuple[RoleSummary, TopicStream | None, FrameStream | None]:
    """Return the camera's topic, its messages, and its frames where they can be read."""
    role, stream = _role(bag, camera_stream, CAMERA_TYPES)
    if stream is None:
        return role, None, None
    try:
        return role, stream, FrameStream(stream)
    except UnknownEncoding as error:
        return RoleSummary(None, str(error)), stream, None
    except UnreadableMessage as error:
        return RoleSummary(None, str(error)), None, None


def gaze_of(bag: Bag, frames: FrameStream | None) -> tuple[RoleSummary, TopicStream | None, GazeTrack | None]:
    """Return the gaze topic, its messages and samples. frames: of the camera, which bare points refer to."""
    role, stream = _role(bag, gaze_stream, (GAZE_TYPE,))
    if stream is None:
        return role, None, None
    try:
        return role, stream, read_gaze(stream, bag.metadata.get("gaze_coordinates", ""), frames)
    except (UnclearGaze, UnreadableMessage) as error:
        reason = str(error)
    except (DamagedImage, UnknownEncoding) as error:
        reason = f"the points of {stream.topic} are of an image, and the first one is bad: {error}"
    return RoleSummary(None, reason), None, None


def labels_of(
    bag: Bag, frames: FrameStream | None
) -> tuple[RoleSummary, TopicStream | None, LabelTrack | None, LabelFile | None]:
    """Return the topic of the bag's own labels, its messages, the labels that training takes, and their file.

    frames: identify the recording; without them the label file beside the bag is not read.
    """
    role, stream = _role(bag, label_stream, (LABEL_TYPE,))
    try:
        label_file = label_file_of(bag.path, bag.metadata.get("session", ""), frames) if frames is not None else None
    except (BadLabelFile, OtherBagsLabels) as error:
        return RoleSummary(None, str(error)), None, None, None
    if label_file:
        return role, stream, track_of(label_file.labels), label_file
    try:
        return role, stream, read_labels(stream) if stream else None, None
    except UnreadableMessage as error:
        return RoleSummary(None, str(error)), None, None, None


def _role(
    bag: Bag, find: Callable[[Bag], TopicStream | None], type_names: tuple[str, ...]
) -> tuple[RoleSummary, TopicStream | None]:
    try:
        stream = find(bag)
    except UnclearRole as error:
        return RoleSummary(None, str(error)), None
    if stream is None:
        return RoleSummary(None, f"no topic carries {' or '.join(type_names)}"), None
    if not len(stream):
        return RoleSummary(None, f"{stream.topic} has no message"), None
    return RoleSummary(stream.topic, ""), stream

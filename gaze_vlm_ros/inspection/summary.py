"""What `gaze-vlm bag info` reports about a bag, as data."""

from __future__ import annotations

from dataclasses import dataclass

from gaze_vlm_ros.gaze.summary import GazeSummary
from gaze_vlm_ros.inspection.roles import RoleSummary

DESCRIBED = ("session", "person", "task", "scene", "tracker")

FRAMES_TRIED = 30  # about a second: cameras may start with broken frames; trying a whole bag of them takes too long


@dataclass(frozen=True)
class TopicSummary:
    """One topic. Times are acquisition stamps where messages begin with one, else arrival times."""

    name: str
    type_name: str
    messages: int
    stamped: bool  # messages begin with their time of acquisition
    rate_hz: float | None  # of the median interval; None = fewer than two messages, or all at one time
    first_ns: int | None
    last_ns: int | None
    longest_gap_s: float | None  # between two messages that follow each other in time
    received: int | None  # of the recorder's totals; None = not known
    written: int | None
    lost: int | None
    unreadable: str = ""  # why its messages cannot be decoded; empty = they can


@dataclass(frozen=True)
class CameraSummary:
    """The camera's first frame that can be decoded."""

    width: int
    height: int
    format: str  # encoding of raw images, format of compressed ones
    keyframe_s: float | None = None  # of video: median time from one keyframe to the next; None = fewer than two
    lost_frames: int = 0  # of video: before the first keyframe, or between a lost packet and the next one


@dataclass(frozen=True)
class LabelSummary:
    """Action labels."""

    labels: int  # with a text
    unlabelled: int  # without: "from here on nothing is labelled"
    distinct: int
    most_frequent: list[tuple[str, int]]


@dataclass(frozen=True)
class BagSummary:
    """Everything that `gaze-vlm bag info` reports."""

    path: str
    files: int
    size_bytes: int
    start_ns: int | None  # arrival of the first message; None = there is none
    duration_s: float  # to the arrival of the last
    metadata: dict[str, str]
    recovery: dict[str, str]  # what the bag was recovered from; empty = it was not
    recovered_lost: dict[str, int]  # messages by topic that the recovery knows to be lost
    has_metadata_yaml: bool  # `ros2 bag` needs it in a folder
    topics: list[TopicSummary]
    camera_role: RoleSummary
    gaze_role: RoleSummary
    label_role: RoleSummary
    camera: CameraSummary | None
    gaze: GazeSummary | None
    labels: LabelSummary | None
    label_origin: str  # of labels beside the bag, which replace those in it; empty = there are none
    lost: int | None  # in total; None = not known of every topic

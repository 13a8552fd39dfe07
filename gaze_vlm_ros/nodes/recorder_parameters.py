"""Parameters of the recorder node: what is declared, and what the node reads from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gaze_vlm_ros.bags.role_options import GAZE_COORDINATES
from gaze_vlm_ros.bags.roles import POINT_TYPE
from gaze_vlm_ros.bags.writer import Split
from gaze_vlm_ros.nodes.parameters import BadParameter, Declarations, ParameterNode, read
from gaze_vlm_ros.recorder.bag_session import BagSettings
from gaze_vlm_ros.recorder.keyboard import MOST_LABELS
from gaze_vlm_ros.recorder.topics import WantedTopic, wanted_topics

DESCRIBED = ("session", "person", "task", "scene", "tracker")  # texts about the session, written into each bag


def declare_parameters(node: ParameterNode) -> None:
    """Declare all parameters of the recorder on `node`; they are read once."""
    declare = Declarations(node, fixed=True)
    declare.text("bag", "", "folder of the new bag, which must not exist; with episodes: parent folder of their bags")
    declare.text(
        "camera_topic", "camera/image_raw/compressed", "Image, CompressedImage or coded video; see docs/recorder.md"
    )
    declare.text("camera_info_topic", "camera/camera_info", "sensor_msgs/CameraInfo; empty = not recorded")
    declare.text("gaze_topic", "gaze", "gaze_vlm_msgs/GazeStamped or geometry_msgs/PointStamped; empty = not recorded")
    declare.text("gaze_coordinates", "", f"coordinates of a PointStamped, one of {', '.join(GAZE_COORDINATES)}")
    declare.text("label_topic", "label", "gaze_vlm_msgs/ActionLabel; empty = not recorded")
    declare.text("imu_topic", "imu", "sensor_msgs/Imu; empty = not recorded")
    declare.texts("extra_topics", "more topics to record, of any type")
    for name in DESCRIBED:
        declare.text(name, "", f"{name}, written into the bag; training and test sets are split by these texts")
    declare.flag("episodes", False, "record each episode into a bag of its own")
    declare.texts("labels", f"label texts of the keys 1 to {MOST_LABELS}")
    # Our eye tracker searches its device for up to 10 s, connects within 15 s, and knows its clock after up to 7.5 s.
    declare.number(
        "wait_s", 40.0, 0.0, 3600.0, "s to wait for required topics, and then for messages of camera and gaze"
    )
    declare.number(
        "stop_when_silent_s", 0.0, 0.0, 3600.0, "s without any message after which recording ends; 0 = never"
    )
    # A shorter time costs file size (an index per chunk), a longer one costs data in a kill.
    declare.number("flush_s", 0.2, 0.01, 60.0, "s between flushes to the file; a kill loses at most this")
    # Writing goes on during a sync, but syncs in immediate succession cost throughput.
    declare.number(
        "sync_s", 1.0, 0.0, 3600.0, "s between syncs to the disk; a power loss costs at most this; 0 = up to the system"
    )
    # 2 s of raw 720p at 100 Hz: a disk rarely stalls for longer, and memory is finite.
    declare.number("queue_mb", 512.0, 1.0, 65536.0, "MB of messages that may wait for the disk before they are dropped")
    # A 4 GB file fits on any file system and opens in any tool.
    declare.number("split_mb", 4000.0, 0.0, 1e6, "MB after which the bag continues in another file; 0 = never")
    declare.number("split_s", 0.0, 0.0, 86400.0, "s after which the bag continues in another file; 0 = never")
    # Room for the queue, the index and the rest of the system.
    declare.number("min_free_mb", 1000.0, 0.0, 1e6, "MB of free disk space below which recording ends")
    declare.number("report_s", 1.0, 0.1, 60.0, "s between two reports on the screen and on ~/status")


@dataclass(frozen=True)
class RecorderParameters:
    """Values of the recorder's parameters; see `declare_parameters` for what each means."""

    bag: str
    camera_topic: str
    camera_info_topic: str
    gaze_topic: str
    gaze_coordinates: str
    label_topic: str
    imu_topic: str
    extra_topics: tuple[str, ...]
    session: str
    person: str
    task: str
    scene: str
    tracker: str
    episodes: bool
    labels: tuple[str, ...]
    wait_s: float
    stop_when_silent_s: float
    flush_s: float
    sync_s: float
    queue_mb: float
    split_mb: float
    split_s: float
    min_free_mb: float
    report_s: float

    def topics(self, resolve: Callable[[str], str]) -> tuple[WantedTopic, ...]:
        """Return the topics to record. resolve: the node's full name for a relative topic."""

        def resolved(name: str) -> str:
            return resolve(name) if name else ""

        return wanted_topics(
            camera=resolved(self.camera_topic),
            camera_info=resolved(self.camera_info_topic),
            gaze=resolved(self.gaze_topic),
            label=resolved(self.label_topic),
            imu=resolved(self.imu_topic),
            extra=[resolve(name) for name in self.extra_topics],
        )

    def bag_settings(self, resolve: Callable[[str], str]) -> BagSettings:
        """Return where and how to write bags. resolve: the node's full name for a relative topic."""
        roles = {
            role: resolve(name) if (name := getattr(self, role)) else ""
            for role in ("camera_topic", "gaze_topic", "label_topic")
        }
        described = {name: getattr(self, name) for name in DESCRIBED}
        return BagSettings(
            folder=Path(self.bag).expanduser(),
            in_episodes=self.episodes,
            metadata={**described, "gaze_coordinates": self.gaze_coordinates, **roles},
            label_topic=roles["label_topic"],
            queue_bytes=int(self.queue_mb * 1e6),
            flush_s=self.flush_s,
            sync_s=self.sync_s,
            min_free_bytes=self.min_free_mb * 1e6,
            split=Split(int(self.split_mb * 1e6), self.split_s),
        )

    def check_gaze_coordinates(self, gaze_topic: str, types: Mapping[str, str]) -> None:
        """Raise BadParameter where gaze comes as bare points and `gaze_coordinates` does not say what they mean.

        gaze_topic: resolved. types: message types of the topics to record.
        """
        if types.get(gaze_topic) == POINT_TYPE and self.gaze_coordinates not in GAZE_COORDINATES:
            raise BadParameter(
                f"{gaze_topic} carries {POINT_TYPE}, and parameter gaze_coordinates is {self.gaze_coordinates!r}, "
                f"expected one of {', '.join(GAZE_COORDINATES)}, which give origin and unit of the points"
            )


def read_parameters(node: ParameterNode) -> RecorderParameters:
    """Return the values that are set on `node`. Raises BadParameter."""
    parameters = read(node, RecorderParameters)
    if not parameters.bag:
        raise BadParameter("parameter bag is empty, expected the folder to write to, e.g. -p bag:=bags/session_1")
    if len(parameters.labels) > MOST_LABELS:
        raise BadParameter(
            f"labels has {len(parameters.labels)} texts, expected at most {MOST_LABELS}: one for each of the keys 1 to "
            f"{MOST_LABELS}"
        )
    return parameters

"""One recorded session as a trainer sees it: frames, gaze and labels, each by acquisition time. No ROS needed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from gaze_vlm_ros.bags.reader import Bag, open_bag
from gaze_vlm_ros.bags.roles import CAMERA_TYPES, GAZE_TYPE, LABEL_TYPE, POINT_TYPE, topic_of_role
from gaze_vlm_ros.bags.stamps import header_stamp_ns
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.labels.label_file import LabelFile, bag_identity, label_file_path, read_label_file, track_of
from gaze_vlm_ros.labels.track import LabelTrack
from gaze_vlm_ros.session.frame_stream import FrameStream
from gaze_vlm_ros.session.gaze_track import GazeTrack, read_gaze

DIGESTED_FRAMES = 8  # evenly spread: reading all of an hour's would take longer than training's first steps


class NoFrames(GazeVlmError):
    """The bag has no camera images."""


class NoGaze(GazeVlmError):
    """The bag has no gaze."""


class NoLabels(GazeVlmError):
    """The bag has no action labels."""


@dataclass(frozen=True)
class Session:
    """One bag. `frames`, `gaze` and `labels` are None where the bag has no such topic, or nothing on it."""

    path: Path
    metadata: dict[str, str]
    frames: FrameStream
    gaze: GazeTrack | None
    labels: LabelTrack | None
    label_file: LabelFile | None = None  # labels.json beside the bag, where `labels` come from it

    @property
    def name(self) -> str:
        return self.metadata.get("session") or self.path.stem

    @property
    def person(self) -> str:
        return self.metadata.get("person", "")

    @property
    def task(self) -> str:
        return self.metadata.get("task", "")

    @property
    def scene(self) -> str:
        return self.metadata.get("scene", "")


def load_session(path: Path | str, labels_from: Literal["either", "bag", "nowhere"] = "either") -> Session:
    """Open a bag for training. The topics are those that the bag's own record names, or else the only one of a type.

    Labels that lie beside the bag (labelling.label_file) take the place of those in it, all of them; labels_from: look
    in the bag alone, or for none. The gaze track and the labels are read at once (a few bytes a sample), frames when
    they are asked for.
    Raises what `open_bag`, FrameStream and `read_label_file` raise, NoFrames, UnclearGaze and UnclearRole.
    """
    bag = open_bag(path)
    camera = topic_of_role(bag, "camera_topic", *CAMERA_TYPES)
    if camera is None or not bag.topics[camera].count:
        found = ", ".join(f"{name} ({info.type_name}, {info.count} messages)" for name, info in bag.topics.items())
        raise NoFrames(f"{path} has no camera images; it has {found or 'no topic at all'}; leave the bag out")
    gaze = topic_of_role(bag, "gaze_topic", GAZE_TYPE)
    named = bag.metadata.get("gaze_topic", "")
    if named in bag.topics and bag.topics[named].type_name == POINT_TYPE:
        gaze = named  # only where the bag says so: points on a robot are mostly something else
    frames = FrameStream(bag, camera)
    label_file = label_file_of(bag, frames) if labels_from == "either" else None
    # Where its own ones are not wanted, they need not be clear.
    labels = topic_of_role(bag, "label_topic", LABEL_TYPE) if not label_file and labels_from != "nowhere" else None
    own = read_labels(bag, labels) if labels and bag.topics[labels].count else None
    return Session(
        path=Path(path),
        metadata=dict(bag.metadata),
        frames=frames,
        gaze=read_gaze(bag, gaze, frames) if gaze and bag.topics[gaze].count else None,
        labels=(track_of(label_file.labels) if label_file.labels else None) if label_file else own,
        label_file=label_file,
    )


def session_digest(session: Session) -> str:
    """16 hex digits that name the recording by its content; the same wherever the bag lies.

    Stamps, labels and gaze, and of the pictures some: a copy that was encoded anew has another name.
    """
    digest = hashlib.sha256()
    digest.update(np.ascontiguousarray(session.frames.stamps_ns, dtype=np.int64).tobytes())
    for index in np.unique(np.linspace(0, len(session.frames) - 1, DIGESTED_FRAMES).round().astype(int)):
        digest.update(bytes(session.frames.message(int(index)).data))
    if session.labels is not None:
        digest.update(np.ascontiguousarray(session.labels.starts_ns, dtype=np.int64).tobytes())
        digest.update("\n".join(session.labels.texts).encode())
        digest.update("\n".join([*session.labels.verbs, *session.labels.object_classes]).encode())
    if session.gaze is not None:
        digest.update(np.ascontiguousarray(session.gaze.stamps_ns, dtype=np.int64).tobytes())
        digest.update(np.ascontiguousarray(session.gaze.xy, dtype=np.float64).tobytes())
    return digest.hexdigest()[:16]


def label_file_of(bag: Bag, frames: FrameStream) -> LabelFile | None:
    """The labels beside a bag; None where there are none. Raises BadLabelFile, OtherBagsLabels."""
    path = label_file_path(bag.path)
    if not path.exists() or not len(frames):
        return None
    return read_label_file(path, bag_identity(bag.metadata.get("session", ""), frames.stamps_ns))


def require_gaze(session: Session) -> GazeTrack:
    """The session's gaze. Raises NoGaze where there is none."""
    if session.gaze is None:
        raise no_gaze(session.path)
    return session.gaze


def no_gaze(bag: Path) -> NoGaze:
    """The error that says that a bag has none."""
    return NoGaze(f"{bag} has no gaze ({GAZE_TYPE}); train without it (gaze: none) or leave the bag out")


def require_labels(session: Session) -> LabelTrack:
    """The session's labels. Raises NoLabels where there is none."""
    if session.labels is None:
        raise NoLabels(
            f"{session.path} has no labels ({LABEL_TYPE}); give it some (`gaze-vlm label`), or leave the bag out"
        )
    return session.labels


def read_labels(bag: Bag, topic: str) -> LabelTrack:
    """All labels of a topic."""
    messages = [bag.message(topic, index) for index in range(bag.topics[topic].count)]
    messages.sort(key=header_stamp_ns)
    return LabelTrack(
        np.array([header_stamp_ns(message) for message in messages], np.int64),
        [message.text for message in messages],
        [message.verb for message in messages],
        [message.object_class for message in messages],
    )

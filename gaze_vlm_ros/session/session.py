"""One recorded session: frames, gaze and labels, each by acquisition time. No ROS needed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from gaze_vlm_ros.bags.reader import Bag
from gaze_vlm_ros.bags.role_options import AS_THE_BAG_SAYS, Roles
from gaze_vlm_ros.bags.roles import (
    GAZE_TYPE,
    LABEL_TYPE,
    camera_stream,
    gaze_stream,
    label_stream,
    open_with_roles,
)
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.labels.label_file import LabelFile, track_of
from gaze_vlm_ros.labels.track import LabelTrack
from gaze_vlm_ros.session.gaze_track import GazeTrack, read_gaze
from gaze_vlm_ros.session.label_reading import label_file_of, read_labels
from gaze_vlm_ros.session.span import require_one_session
from gaze_vlm_ros.video.frame_stream import FrameStream

DIGESTED_FRAMES = 8  # evenly spread: reading every frame of an hour would take longer than the first training steps


class NoFrames(GazeVlmError):
    """The bag has no camera images."""


class NoGaze(GazeVlmError):
    """The bag has no gaze."""


class NoLabels(GazeVlmError):
    """The bag has no action labels."""


@dataclass(frozen=True)
class Session:
    """One recorded session. `gaze` and `labels` are None where the bag has no such topic, or nothing on it."""

    path: Path  # of the bag
    metadata: dict[str, str]  # the bag's own record
    frames: FrameStream
    gaze: GazeTrack | None
    labels: LabelTrack | None
    label_file: LabelFile | None = None  # labels.json beside the bag, if `labels` come from it

    @property
    def name(self) -> str:
        """Name of the session; that of the bag where it has none."""
        return self.metadata.get("session") or self.path.stem

    @property
    def person(self) -> str:
        """Who wore the glasses; "" = not given."""
        return self.metadata.get("person", "")

    @property
    def task(self) -> str:
        """What the person was to do; "" = not given."""
        return self.metadata.get("task", "")

    @property
    def scene(self) -> str:
        """Where it was recorded; "" = not given."""
        return self.metadata.get("scene", "")


def open_session(
    path: Path | str,
    labels_from: Literal["either", "bag", "nowhere"] = "either",
    roles: Roles = AS_THE_BAG_SAYS,
) -> Session:
    """Open a bag and return its frames, gaze and labels.

    A topic plays a role if the bag's own record names it, or if it is the only one of a fitting type. Gaze and labels
    are read at once (a few bytes a sample), frames when they are used.

    labels_from: either = from the label file beside the bag, which replaces all labels in the bag, else from the bag;
    bag = from the bag only; nowhere = no labels. roles: topics that win over what the bag says.
    Raises what open_with_roles, FrameStream, read_gaze and read_label_file raise, NoFrames and NotOneSession.
    """
    bag = open_with_roles(path, roles)
    camera = camera_stream(bag)
    if camera is None or not len(camera):
        raise _no_frames(bag)
    frames = FrameStream(camera)
    gaze = gaze_stream(bag)
    label_file = label_file_of(bag.path, bag.metadata.get("session", ""), frames) if labels_from == "either" else None
    if label_file:
        labels = track_of(label_file.labels) if label_file.labels else None
    else:
        stream = label_stream(bag) if labels_from != "nowhere" else None  # may be unclear, so only if it is used
        labels = read_labels(stream) if stream else None
    track = read_gaze(gaze, bag.metadata.get("gaze_coordinates", ""), frames) if gaze else None
    others = {"gaze samples": track.stamps_ns} if track is not None else {}
    if labels is not None:
        others["labels"] = labels.starts_ns
    if len(frames):
        require_one_session(bag.path, frames.stamps_ns, others)
    return Session(
        path=Path(path),
        metadata=dict(bag.metadata),
        frames=frames,
        gaze=track,
        labels=labels,
        label_file=label_file,
    )


load_session = open_session  # its former name


def _no_frames(bag: Bag) -> NoFrames:
    topics = [f"{name} ({stream.type_name}, {len(stream)} messages)" for name, stream in bag.topics.items()]
    found = ", ".join(topics) or "no topic at all"
    return NoFrames(f"{bag.path} has no camera images; it has {found}; leave the bag out")


def session_digest(session: Session) -> str:
    """Return 16 hex digits that identify the recording by its content, wherever the bag is.

    Content is all stamps, labels and gaze, and DIGESTED_FRAMES of the frames: re-encoding changes the digest.
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


def require_gaze(session: Session) -> GazeTrack:
    """Return the session's gaze. Raises NoGaze where there is none."""
    if session.gaze is None:
        raise no_gaze(session.path)
    return session.gaze


def no_gaze(bag: Path) -> NoGaze:
    """Return the error for a bag without gaze."""
    return NoGaze(f"{bag} has no gaze ({GAZE_TYPE}); train without it (gaze: none) or leave the bag out")


def require_labels(session: Session) -> LabelTrack:
    """Return the session's labels. Raises NoLabels where there are none."""
    if session.labels is None:
        raise NoLabels(
            f"{session.path} has no labels ({LABEL_TYPE}); give it some (`gaze-vlm label`), or leave the bag out"
        )
    return session.labels

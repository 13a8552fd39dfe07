"""One recorded session as a trainer sees it: frames, gaze and labels, each by acquisition time. No ROS needed."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.bag_reader import Bag, open_bag
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.images import RGB, DamagedImage, of_size, small_grey, to_rgb, to_small_grey
from gaze_vlm_ros.labelling.label_file import LabelFile, bag_identity, label_file_path, read_label_file, track_of
from gaze_vlm_ros.labels import LabelTrack
from gaze_vlm_ros.video_stream import VIDEO_TYPES, VideoStream, is_video

CAMERA_TYPES = ("sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/Image", *VIDEO_TYPES)
# What image_transport's plug-ins add to the name of the raw topic: JPEG or PNG, FFMPEGPacket, CompressedVideo.
COMPRESSED_TRANSPORTS = ("/compressed", "/ffmpeg", "/foxglove")
GAZE_TYPE = "gaze_vlm_msgs/msg/GazeStamped"
LABEL_TYPE = "gaze_vlm_msgs/msg/ActionLabel"
# Other trackers' drivers publish bare points; the bag's record gaze_coordinates says what they mean. Normalized: 0 to 1
# over the image's width and height.
POINT_TYPE = "geometry_msgs/msg/PointStamped"
GAZE_COORDINATES = ("px_top_left", "px_bottom_left", "normalized_top_left", "normalized_bottom_left")
# Consecutive windows share frames; 8 full-HD frames are 50 MB.
DECODED_FRAMES_KEPT = 8
DIGESTED_FRAMES = 8  # evenly spread: reading all of an hour's would take longer than training's first steps
SMALL_FRAMES_KEPT = 32  # for optical flow: 0.5 s of a 60 Hz camera, 1 MB


class NoFrames(GazeVlmError):
    """The bag has no camera images."""


class NoGaze(GazeVlmError):
    """The bag has no gaze."""


class NoLabels(GazeVlmError):
    """The bag has no action labels."""


class UnclearGaze(GazeVlmError):
    """The gaze is bare points, and the bag does not say what they mean."""


class UnclearRole(GazeVlmError):
    """Several topics could be the one that is asked for."""


class FrameStream:
    """Camera images in the order of their acquisition, decoded when asked for.

    Raises UnknownEncoding for video of another codec than H.264 and H.265, ReorderedVideo for video with B-frames.
    """

    def __init__(self, bag: Bag, topic: str) -> None:
        self._bag, self.topic = bag, topic
        stamps_ns = bag.stamps_ns(topic)
        self._video = VideoStream(bag, topic, stamps_ns) if is_video(bag, topic) else None
        pictures = np.flatnonzero(self._video.has_picture) if self._video else np.arange(len(stamps_ns))
        # Two frames of one stamp are one frame, sent twice.
        self.stamps_ns, first = np.unique(stamps_ns[pictures], return_index=True)
        self._arrival = pictures[first]
        keyframe_of = self._video.keyframe_of[self._arrival] if self._video else self._arrival
        self.is_keyframe = keyframe_of == self._arrival  # (N,) decodes alone; still pictures all do
        self.is_lost = keyframe_of < 0  # (N,) cannot be decoded, as its and other packets tell; still pictures never
        self._decoded: OrderedDict[int, RGB] = OrderedDict()
        self._small: OrderedDict[tuple[int, int], NDArray[np.uint8]] = OrderedDict()  # by index and width
        self._size: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.stamps_ns)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the first frame that is not damaged, px. Raises DamagedImage where all are."""
        if self._size is None:
            self._size = self._first_size()
        return self._size

    def _first_size(self) -> tuple[int, int]:
        why = "it has none"
        for index in range(len(self)):
            try:
                height, width, _ = self.rgb(index).shape
            except DamagedImage as error:
                why = str(error)
            else:
                return width, height
        raise DamagedImage(f"{self._bag.path}: no frame of {self.topic} decodes ({why}); record again")

    def message(self, index: int) -> Any:
        """The message that frame `index` came in."""
        return self._bag.message(self.topic, int(self._arrival[index]))

    def serialized(self, index: int) -> bytes:
        """The same, as it is in the bag."""
        return bytes(self._bag.raw(self.topic, int(self._arrival[index])))

    @property
    def arrivals_ns(self) -> NDArray[np.int64]:
        """(N,) when each frame reached the recorder."""
        return self._bag.log_times_ns(self.topic)[self._arrival]

    def rgb(self, index: int) -> RGB:
        """(H, W, 3) uint8 RGB of frame `index`. Do not write into it: it may be handed out again."""
        frame = self._decoded.get(index)
        if frame is None:
            frame = self._video.rgb(int(self._arrival[index])) if self._video else to_rgb(self.message(index))
            frame.flags.writeable = False
            self._decoded[index] = frame
            if len(self._decoded) > DECODED_FRAMES_KEPT:
                self._decoded.popitem(last=False)
        else:
            self._decoded.move_to_end(index)
        return frame

    def small_grey(self, index: int, width_px: int) -> NDArray[np.uint8]:
        """(h, w) uint8, frame `index` as images.to_small_grey makes it. Do not write into it.

        Raises DamagedImage where it does not decode or is of another size than the stream's.
        """
        picture = self._small.get((index, width_px))
        if picture is None:
            if self._video:
                picture = small_grey(of_size(self.rgb(index), self.size), width_px)
            else:
                picture = to_small_grey(self.message(index), self.size, width_px)
            self._small[index, width_px] = picture
            if len(self._small) > SMALL_FRAMES_KEPT:
                self._small.popitem(last=False)
        return picture


@dataclass(frozen=True)
class GazeTrack:
    """Gaze samples in the order of their acquisition. `worn` and `eye_state` as in gaze_vlm_msgs/GazeStamped."""

    stamps_ns: NDArray[np.int64]  # (N,)
    xy: NDArray[np.float64]  # (N, 2) px in the scene image, y down; NaN = no estimate
    confidence: NDArray[np.float64]  # (N,) 0 to 1; NaN = the tracker gives none
    worn: NDArray[np.uint8]  # (N,)
    eye_state: NDArray[np.uint8]  # (N,)
    image_size: tuple[int, int]  # (width, height) px that xy refers to; (0, 0) = unknown

    def __len__(self) -> int:
        return len(self.stamps_ns)


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


def topic_of_role(bag: Bag, role: str, *type_names: str) -> str | None:
    """The topic that the bag's record names for `role`, or the only one of these types, or None. Raises UnclearRole."""
    named = bag.metadata.get(role, "")
    if named in bag.topics and bag.topics[named].type_name in type_names:
        return named
    candidates = bag.topics_of(*type_names)
    if len(candidates) > 1:
        # One camera, published raw and compressed, is one choice: the smaller.
        compressed = [name for name in candidates if name.endswith(COMPRESSED_TRANSPORTS)]
        if len(compressed) == 1 and set(candidates) == {compressed[0], compressed[0].rpartition("/")[0]}:
            return compressed[0]
        raise UnclearRole(
            f"{bag.path}: {role} could be {' or '.join(candidates)}, and the bag does not say which; "
            "record again with the topic's parameter set, or leave the others out"
        )
    return candidates[0] if candidates else None


def _stamp_ns(message: Any) -> int:
    return int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)


def read_gaze(bag: Bag, topic: str, frames: FrameStream) -> GazeTrack:
    """All samples of a gaze topic. frames: whose size normalized points refer to. Raises UnclearGaze."""
    if bag.topics[topic].type_name == POINT_TYPE:
        return _read_points(bag, topic, frames.size)
    count = bag.topics[topic].count
    stamps_ns, xy, confidence = np.empty(count, np.int64), np.empty((count, 2)), np.empty(count)
    worn, eye_state = np.empty(count, np.uint8), np.empty(count, np.uint8)
    image_size = (0, 0)
    for index in range(count):
        message = bag.message(topic, index)
        stamps_ns[index] = _stamp_ns(message)
        xy[index] = message.x, message.y
        confidence[index], worn[index], eye_state[index] = message.confidence, message.worn, message.eye_state
        if message.image_width and message.image_height:
            image_size = (int(message.image_width), int(message.image_height))
    order = np.argsort(stamps_ns, kind="stable")
    return GazeTrack(stamps_ns[order], xy[order], confidence[order], worn[order], eye_state[order], image_size)


def _read_points(bag: Bag, topic: str, image_size: tuple[int, int]) -> GazeTrack:
    coordinates = bag.metadata.get("gaze_coordinates", "")
    if coordinates not in GAZE_COORDINATES:
        raise UnclearGaze(
            f"{bag.path}: {topic} holds points ({POINT_TYPE}), and the bag's gaze_coordinates is {coordinates!r}, "
            f"expected one of {', '.join(GAZE_COORDINATES)}; record with that parameter set"
        )
    messages = [bag.message(topic, index) for index in range(bag.topics[topic].count)]
    stamps_ns = np.array([_stamp_ns(message) for message in messages], np.int64)
    xy = points_to_px(np.array([(message.point.x, message.point.y) for message in messages]), coordinates, image_size)
    order = np.argsort(stamps_ns, kind="stable")
    unknown = np.zeros(len(messages), np.uint8)  # GazeStamped's WORN_UNKNOWN and EYE_UNKNOWN
    return GazeTrack(stamps_ns[order], xy[order], np.full(len(messages), np.nan), unknown, unknown, image_size)


def points_to_px(points: NDArray[np.float64], coordinates: str, image_size: tuple[int, int]) -> NDArray[np.float64]:
    """(N, 2) px from the top left, y down, of points (N, 2) in one of GAZE_COORDINATES on an image (width, height)."""
    unit, _, origin = coordinates.partition("_")
    px = points * image_size if unit == "normalized" else points.copy()
    if origin == "bottom_left":
        px[:, 1] = image_size[1] - px[:, 1]
    return px


def read_labels(bag: Bag, topic: str) -> LabelTrack:
    """All labels of a topic."""
    messages = [bag.message(topic, index) for index in range(bag.topics[topic].count)]
    messages.sort(key=_stamp_ns)
    return LabelTrack(
        np.array([_stamp_ns(message) for message in messages], np.int64),
        [message.text for message in messages],
        [message.verb for message in messages],
        [message.object_class for message in messages],
    )

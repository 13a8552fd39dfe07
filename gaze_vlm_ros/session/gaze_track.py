"""Gaze samples of a bag by acquisition time, in pixels of the scene image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.bags.role_options import GAZE_COORDINATES
from gaze_vlm_ros.bags.roles import POINT_TYPE
from gaze_vlm_ros.bags.stamps import header_stamp_ns
from gaze_vlm_ros.bags.topic_stream import TopicStream
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.video.frame_stream import FrameStream


class UnclearGaze(GazeVlmError):
    """The gaze is bare points, and the bag does not say what they mean."""


@dataclass(frozen=True)
class GazeTrack:
    """Gaze samples in the order of their acquisition. `worn` and `eye_state` as in gaze_vlm_msgs/GazeStamped."""

    stamps_ns: NDArray[np.int64]  # (N,) ascending
    xy: NDArray[np.float64]  # (N, 2) px in the scene image, origin top left, y down; NaN = no estimate
    confidence: NDArray[np.float64]  # (N,) 0 to 1; NaN = the tracker gives none
    worn: NDArray[np.uint8]  # (N,)
    eye_state: NDArray[np.uint8]  # (N,)
    image_size: tuple[int, int]  # (width, height) px of the image that xy refers to; (0, 0) = unknown
    pupils_mm: NDArray[np.float64] | None = None  # (N, 2) diameters, left and right; NaN or 0 = unknown; None = all are

    def __len__(self) -> int:
        return len(self.stamps_ns)


def read_gaze(stream: TopicStream, coordinates: str = "", frames: FrameStream | None = None) -> GazeTrack:
    """Return all samples of a topic of GazeStamped or PointStamped messages.

    coordinates: what points mean, one of GAZE_COORDINATES. frames: whose size points refer to. GazeStamped messages
    need neither.
    Raises UnclearGaze for points where one of these is missing, and for image sizes of several shapes; DamagedImage
    where no frame decodes; BagDamaged.
    """
    if stream.type_name == POINT_TYPE:
        return _read_points(stream, coordinates, frames)
    count = len(stream)
    stamps_ns, xy, confidence = np.empty(count, np.int64), np.empty((count, 2)), np.empty(count)
    worn, eye_state = np.empty(count, np.uint8), np.empty(count, np.uint8)
    sizes = np.zeros((count, 2), np.int64)
    pupils_mm = np.full((count, 2), np.nan)
    for index, message in enumerate(stream.messages()):
        stamps_ns[index] = header_stamp_ns(message)
        xy[index] = message.x, message.y
        confidence[index], worn[index], eye_state[index] = message.confidence, message.worn, message.eye_state
        sizes[index] = message.image_width, message.image_height
        if hasattr(message, "pupil_diameter_left"):  # bags of earlier releases have none
            pupils_mm[index] = message.pupil_diameter_left, message.pupil_diameter_right
    xy, image_size = _on_one_size(stream, xy, sizes)
    order = np.argsort(stamps_ns, kind="stable")
    return GazeTrack(
        stamps_ns[order], xy[order], confidence[order], worn[order], eye_state[order], image_size, pupils_mm[order]
    )


def _on_one_size(
    stream: TopicStream, xy: NDArray[np.float64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Return all points on one image size, the last one of the topic, and that size; (0, 0) = no sample has one.

    xy: (N, 2) px, each on an image of its own size (N, 2), 0 = unknown. Raises UnclearGaze for sizes of another shape:
    what one image shows of the other is not known then.
    """
    known: NDArray[np.bool_] = np.asarray((sizes > 0).all(axis=1))
    if not known.any():
        return xy, (0, 0)
    last = sizes[np.flatnonzero(known)[-1]]
    scale = np.asarray(np.where(known[:, None], last / np.maximum(sizes, 1), 1.0))
    stretched = np.abs(scale[:, 0] / scale[:, 1] - 1)
    if stretched.max() > 0.02:
        found = sorted({f"{width}x{height}" for width, height in sizes[known].tolist()})
        raise UnclearGaze(
            f"{stream.bag_path}: gaze of {stream.topic} refers to images of other shapes ({', '.join(found)} px), so "
            "it cannot be put on one; record each camera setting in a bag of its own"
        )
    return xy * scale, (int(last[0]), int(last[1]))


def _read_points(stream: TopicStream, coordinates: str, frames: FrameStream | None) -> GazeTrack:
    if frames is None:
        raise UnclearGaze(
            f"{stream.bag_path}: the points of {stream.topic} are of an image, and the bag has no camera images"
        )
    image_size = frames.size
    if coordinates not in GAZE_COORDINATES:
        raise UnclearGaze(
            f"{stream.bag_path}: {stream.topic} holds points ({POINT_TYPE}), and the bag's gaze_coordinates is "
            f"{coordinates!r}, expected one of {', '.join(GAZE_COORDINATES)}; give --gaze-coordinates"
        )
    messages = list(stream.messages())
    stamps_ns = np.array([header_stamp_ns(message) for message in messages], np.int64)
    xy = points_to_px(np.array([(message.point.x, message.point.y) for message in messages]), coordinates, image_size)
    order = np.argsort(stamps_ns, kind="stable")
    unknown = np.zeros(len(messages), np.uint8)  # GazeStamped's WORN_UNKNOWN and EYE_UNKNOWN
    return GazeTrack(stamps_ns[order], xy[order], np.full(len(messages), np.nan), unknown, unknown, image_size)


def points_to_px(points: NDArray[np.float64], coordinates: str, image_size: tuple[int, int]) -> NDArray[np.float64]:
    """Return (N, 2) px, origin top left, y down, of points (N, 2) in one of GAZE_COORDINATES.

    image_size: (width, height) px of the image that the points are on.
    """
    unit, _, origin = coordinates.partition("_")
    px = points * image_size if unit == "normalized" else points.copy()
    if origin == "bottom_left":
        px[:, 1] = image_size[1] - px[:, 1]
    return px

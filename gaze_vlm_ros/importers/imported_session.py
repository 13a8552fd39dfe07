"""An imported session: a recording of any format, as its reader returns it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.importers.video import Video
from gaze_vlm_ros.labels.track import LabelTrack
from gaze_vlm_ros.neon.recording import ImuSamples
from gaze_vlm_ros.session.gaze_track import GazeTrack

# Start of sessions without a date: ROS takes time 0 for "not set", and the date should not look like a real one.
UNDATED_START_NS = 86_400 * 1_000_000_000


class CameraModel(NamedTuple):
    """A pinhole camera with OpenCV's distortion model."""

    matrix: NDArray[np.float64]  # (3, 3)
    distortion: NDArray[np.float64]  # (4,), (5,) or (8,): k1, k2, p1, p2, k3, k4, k5, k6


@dataclass(frozen=True)
class TimedVideo:
    """A video with the acquisition time of each frame. Frames at the end without a time are left out."""

    video: Video
    stamps_ns: NDArray[np.int64]  # (M,), M <= len(video), ascending


@dataclass
class ImportedSession:
    """A recording as a format's reader returns it. Arrays are in the order of time."""

    metadata: dict[str, str]
    videos: Sequence[TimedVideo]  # of one size
    gaze: GazeTrack
    device_ns: NDArray[np.int64]  # (N,) stamps of the gaze on the tracker's own clock; 0 = unknown
    labels: LabelTrack
    imu: ImuSamples | None = None
    camera: CameraModel | None = None
    left_out: Counter[str] = field(default_factory=Counter)  # counts by what was left out and why

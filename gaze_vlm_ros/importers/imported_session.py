"""An imported session: a recording of any format, as its reader returns it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.labels.track import LabelTrack
from gaze_vlm_ros.neon.recording import ImuSamples
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.video.images import RGB

# Start of sessions without a date: ROS takes time 0 for "not set", and the date should not look like a real one.
UNDATED_START_NS = 86_400 * 1_000_000_000


class CameraModel(NamedTuple):
    """A pinhole camera with OpenCV's distortion model."""

    matrix: NDArray[np.float64]  # (3, 3)
    distortion: NDArray[np.float64]  # (4,), (5,) or (8,): k1, k2, p1, p2, k3, k4, k5, k6


class Frames(Protocol):
    """Pictures of one size in the order of time: those of a video file, or of another container."""

    @property
    def path(self) -> Path:
        """File that holds them."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) px."""

    @property
    def frame_ns(self) -> int:
        """Median interval, ns; 0 for a single one."""

    def __len__(self) -> int: ...

    def frames(self, chosen: NDArray[np.bool_], size: tuple[int, int]) -> Iterator[tuple[int, RGB]]:
        """Yield (number, (H, W, 3) RGB) of those in the mask `chosen` (N,) that decode, scaled to `size`."""


@dataclass(frozen=True)
class TimedVideo:
    """A video with the acquisition time of each frame. Frames at the end without a time are left out."""

    video: Frames
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
    pupils_mm: NDArray[np.float64] | None = None  # (N, 2) diameters of the left and the right pupil; NaN = unknown
    vergence_m: NDArray[np.float64] | None = None  # (N,) distance where the lines of sight cross; NaN = unknown
    left_out: Counter[str] = field(default_factory=Counter)  # counts by what was left out and why

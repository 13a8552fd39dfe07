"""Gaze on frames: compare a bag with the recording that was replayed into it, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.neon.recording import NativeRecording
from gaze_vlm_ros.session.session import Session, require_gaze
from gaze_vlm_ros.session.timeline import nearest
from gaze_vlm_ros.sim.neon_device.check import TOLERANCE_MS
from gaze_vlm_ros.sim.neon_device.clock import SkewedClock
from gaze_vlm_ros.video.frame_stream import FrameStream
from gaze_vlm_ros.video.images import RGB

TOLERANCE_NS = round(TOLERANCE_MS * 1e6)
MAX_GAP_NS = 12_500_000  # one lost sample at 200 Hz, with jitter; in a longer gap a frame has no gaze
RING_RGB, CROSS_RGB = (0, 255, 0), (255, 0, 255)


@dataclass(frozen=True)
class GazeOnFrames:
    """Gaze at the time of each frame: from the bag by its own times, and from the recording by its own times."""

    frame: NDArray[np.int64]  # (N,) index in the bag's frames
    recorded_s: NDArray[np.float64]  # (N,) since the recording's first sample
    bag_px: NDArray[np.float64]  # (N, 2)
    recorded_px: NDArray[np.float64]  # (N, 2)

    @property
    def difference_px(self) -> NDArray[np.float64]:
        """(N,) distance between the two, px."""
        distance: NDArray[np.float64] = np.linalg.norm(self.bag_px - self.recorded_px, axis=1)
        return distance


def gaze_on_frames(session: Session, recording: NativeRecording, clock: SkewedClock, starts_ns: int) -> GazeOnFrames:
    """Match the frames of the recording and the bag that have gaze in both.

    clock: of the simulated glasses. starts_ns: when the recording began, by that clock. Raises NoGaze.
    """
    gaze = require_gaze(session)
    first_ns = recording.span_ns[0]
    recorded_ns = recording.frame_stamps_ns
    host_ns = [clock.host_ns(stamp) for stamp in (recorded_ns - first_ns + starts_ns).tolist()]
    frame = nearest(session.frames.stamps_ns, host_ns, TOLERANCE_NS)
    recorded_px = gaze_at(recording.gaze.stamps_ns, recording.gaze.xy_px, recorded_ns)
    bag_px = gaze_at(gaze.stamps_ns, gaze.xy, session.frames.stamps_ns[frame])
    both = (frame >= 0) & np.isfinite(recorded_px).all(axis=1) & np.isfinite(bag_px).all(axis=1)
    return GazeOnFrames(frame[both], (recorded_ns[both] - first_ns) / 1e9, bag_px[both], recorded_px[both])


def gaze_at(stamps_ns: NDArray[np.int64], xy: NDArray[np.floating], at_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """(M, 2) px: gaze interpolated linearly between the samples around each time; NaN where they are too far apart.

    The nearest sample would not do: between two that are equally near, microseconds would decide.
    stamps_ns: (N,) ascending. xy: (N, 2) px. at_ns: (M,).
    """
    if len(stamps_ns) < 2:
        return np.full((len(at_ns), 2), np.nan)
    after = np.searchsorted(stamps_ns, at_ns, side="right")
    inside = (after > 0) & (after < len(stamps_ns))
    after = np.clip(after, 1, len(stamps_ns) - 1)
    before_ns, after_ns = stamps_ns[after - 1], stamps_ns[after]
    share = ((at_ns - before_ns) / (after_ns - before_ns))[:, None]
    between = xy[after - 1] * (1 - share) + xy[after] * share
    return np.where((inside & (after_ns - before_ns <= MAX_GAP_NS))[:, None], between, np.nan)


def save_pictures(frames: FrameStream, gaze: GazeOnFrames, count: int, folder: Path) -> list[Path]:
    """Write `count` of the frames, evenly spread, as PNG into a new `folder`. Return their paths.

    A ring marks the bag's gaze, a cross the recording's.
    """
    folder.mkdir()
    paths = []
    for row in np.unique(np.linspace(0, len(gaze.frame) - 1, count).round().astype(int)):
        picture = draw_gaze_marks(frames.rgb(int(gaze.frame[row])), gaze.bag_px[row], gaze.recorded_px[row])
        paths.append(folder / f"gaze_at_{gaze.recorded_s[row]:06.3f}_s.png")
        cv2.imwrite(str(paths[-1]), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return paths


def draw_gaze_marks(rgb: RGB, ring_px: NDArray[np.float64], cross_px: NDArray[np.float64]) -> RGB:
    """Copy `rgb` with a green ring around `ring_px` and a magenta cross at `cross_px`; their size follows its width."""
    picture = rgb.copy()
    radius, line = max(6, rgb.shape[1] // 40), max(1, rgb.shape[1] // 400)
    ring, cross = ((int(x), int(y)) for x, y in np.floor([ring_px, cross_px]))  # the pixels that hold them
    cv2.circle(picture, ring, radius, RING_RGB, line, cv2.LINE_AA)
    cv2.drawMarker(picture, cross, CROSS_RGB, cv2.MARKER_CROSS, radius, line)
    return picture

"""One bag as an episode at a constant frame rate: its video, and the gaze and label of each frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from gaze_vlm_ros.exporters.grid import lay_grid
from gaze_vlm_ros.gaze.distribution import scaled
from gaze_vlm_ros.gaze.validity import usable_samples
from gaze_vlm_ros.labels.track import current_label
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.session.session import Session
from gaze_vlm_ros.session.timeline import latest_at_or_before
from gaze_vlm_ros.video.images import RGB, DamagedImage, of_size

GAZE_MAX_AGE_S = 0.05  # gaze is not carried by optical flow: when the head turns, older gaze is off
_COUNTED_EVERY, _COUNTED_WIDTH_PX = 10, 150  # subset for picture statistics: enough for a mean, and fast


@dataclass(frozen=True)
class Episode:
    """One row per frame of the video. Gaze and labels are those at the frame's own stamp, not at the grid time."""

    grid_ns: NDArray[np.int64]  # (N,) time at which the constant rate shows the frame
    stamps_ns: NDArray[np.int64]  # (N,) time of acquisition of the frame
    gaze: NDArray[np.float32]  # (N, 3) x, y px of the frame and 1; 0, 0, 0 without usable gaze
    labels: list[str]  # (N,) current action; empty = unlabelled
    size: tuple[int, int]  # (width, height) px of the video
    histogram: NDArray[np.int64]  # (3, 256) pixel values of `counted` pictures
    counted: int
    left_out: int  # frames of the bag that are not shown
    damaged: int  # those of them that were due but do not decode or differ in size

    def __len__(self) -> int:
        return len(self.stamps_ns)

    @property
    def longest_age_s(self) -> float:
        """Longest time from the acquisition of a frame to the time at which it is shown."""
        return float((self.grid_ns - self.stamps_ns).max()) / 1e9

    @property
    def repeated(self) -> int:
        """Number of rows that repeat the frame of the row before."""
        return int((np.diff(self.stamps_ns) == 0).sum())


def write_episode(session: Session, fps: int, video: Path) -> Episode:
    """Write the frames as H.264 to a new file, one in memory at a time. The session must have labels.

    A damaged frame is replaced by the previous one. Frames of odd width or height lose the last column or row: H.264
    stores colours for pairs of pixels. Raises DamagedImage if no frame decodes, OSError if the file cannot be written.
    """
    assert session.labels is not None
    frames = session.frames
    width, height = frames.size  # raises DamagedImage if none decodes
    first = next(index for index in range(len(frames)) if _picture(session, index) is not None)
    grid = lay_grid(frames.stamps_ns[first:], fps)
    shown = np.empty(len(grid.frame), np.int64)
    histogram, counted, damaged = np.zeros((3, 256), np.int64), 0, first
    last, picture = -1, None
    even = (width // 2 * 2, height // 2 * 2)
    with av.open(str(video), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "23", "preset": "veryfast", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = *even, "yuv420p"
        stream.codec_context.gop_size = 2  # LeRobot's default: frames are read at random
        for row, chosen in enumerate(tqdm((grid.frame + first).tolist(), desc=session.name, mininterval=0.5)):
            found = _picture(session, chosen) if chosen != last else None
            damaged += chosen != last and found is None
            if found is not None:
                picture, shown[row] = found[: even[1], : even[0]], chosen
            else:
                shown[row] = shown[row - 1]
            last = chosen
            assert picture is not None  # the first one decodes
            if row % _COUNTED_EVERY == 0:
                histogram += _histogram(picture)
                counted += 1
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts = row
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    stamps_ns = frames.stamps_ns[shown]
    return Episode(
        grid.times_ns,
        stamps_ns,
        gaze_at(session.gaze, stamps_ns, (width, height)),
        labels_at(session, stamps_ns),
        even,
        histogram,
        counted,
        len(frames) - len(np.unique(shown)),
        damaged,
    )


def _picture(session: Session, index: int) -> RGB | None:
    if session.frames.is_lost[index]:
        return None
    try:
        return of_size(session.frames.rgb(index), session.frames.size)
    except DamagedImage:
        return None


def _histogram(picture: RGB) -> NDArray[np.int64]:
    step = max(1, picture.shape[1] // _COUNTED_WIDTH_PX)
    small = picture[::step, ::step]
    return np.stack([cv2.calcHist([small], [channel], None, [256], [0, 256]).ravel() for channel in range(3)]).astype(
        np.int64
    )


def gaze_at(gaze: GazeTrack | None, stamps_ns: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return (N, 3) the newest usable sample at or before each stamp: x, y in px of a frame of `size`, and 1.

    A row is zero if that sample is older than GAZE_MAX_AGE_S. Usable: accepted by training's defaults.
    """
    result = np.zeros((len(stamps_ns), 3), np.float32)
    if gaze is None:
        return result
    usable = usable_samples(gaze, size)
    rows = latest_at_or_before(gaze.stamps_ns[usable], stamps_ns, round(GAZE_MAX_AGE_S * 1e9))
    known = rows >= 0
    result[known, :2] = scaled(gaze.xy[usable], gaze.image_size, size)[rows[known]]
    result[known, 2] = 1
    return result


def labels_at(session: Session, stamps_ns: NDArray[np.int64]) -> list[str]:
    """Return (N,) the current action at each stamp; empty = unlabelled. The session must have labels."""
    assert session.labels is not None
    starts_ns = np.asarray(session.labels.starts_ns, np.int64)
    rows = [current_label(starts_ns, at_ns) for at_ns in stamps_ns.tolist()]
    return [session.labels.texts[row] if row >= 0 else "" for row in rows]

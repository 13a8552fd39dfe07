"""Ego-Exo4D: one take's video of the Aria glasses with the gaze that the data set puts on its pixels.

https://docs.ego-exo4d-data.org/tutorials/gaze: eye_gaze/personalized_eye_gaze_2d.csv (calibrated on the wearer) or
general_eye_gaze_2d.csv, px of the upright 1408x1408 picture, at 10 Hz beside video of 30 Hz: sample n belongs to frame
3n. The data set's own example repeats each sample for three frames; here each stays one. takes.json beside `takes`
names the person and the task. It has no dates.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.importers.eye_events import EYE_UNKNOWN, WORN_UNKNOWN
from gaze_vlm_ros.importers.imported_session import UNDATED_START_NS, ImportedSession, TimedVideo
from gaze_vlm_ros.importers.plausible import require_on_picture
from gaze_vlm_ros.importers.video import read_video, require_rate, within_video
from gaze_vlm_ros.labels.track import track_from_actions
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.storage.tables import BadRow, FileMissing, read_table

VIDEO_RATE_HZ, FRAMES_A_SAMPLE = 30, 3
GAZE_SIZE = (1408, 1408)  # (width, height) px of the picture that gaze is on, also where the video is a smaller copy
NAMES = ("personalized_eye_gaze_2d.csv", "general_eye_gaze_2d.csv")
NUMBER, X, Y = "frame_num", "x", "y"


class BadTakes(GazeVlmError):
    """takes.json is damaged."""


def read_egoexo4d(folder: Path, gaze: Path | None = None, cut: bool = False) -> ImportedSession:
    """Read a take's folder. gaze: its 2D CSV; None = the one in eye_gaze/, personalized before general.

    cut: leave out gaze beyond the video, however long. Raises FileMissing, WrongColumns, BadRow, BadVideo,
    WrongFrameRate, VideoTooShort, WrongUnit, BadTakes.
    """
    video = read_video(_video_of(folder))
    require_rate(video, VIDEO_RATE_HZ, "gaze counts frames by number")
    gaze = gaze or _gaze_of(folder)
    table = read_table(
        gaze, "2D eye gaze of an Ego-Exo4D take", floats=(NUMBER, X, Y), optional=(NUMBER,)
    )  # some releases have no number: a row is a sample
    xy = np.stack([table.floats[X], table.floats[Y]], axis=1)
    require_on_picture(xy, GAZE_SIZE, gaze)
    numbers = table.floats.get(NUMBER, np.arange(len(xy), dtype=np.float64))
    if not (len(xy) and (numbers == np.round(numbers)).all() and (np.diff(numbers) > 0).all() and numbers[0] >= 0):
        raise BadRow(
            f"{gaze}: {NUMBER} of its {len(xy)} samples do not rise by whole numbers from 0; download it again"
        )
    frame = numbers.astype(np.int64) * FRAMES_A_SAMPLE
    nominal_ns = frame * 1_000_000_000 // VIDEO_RATE_HZ
    left_out: Counter[str] = Counter()
    kept = within_video(video, nominal_ns, "gaze samples", cut) & (frame < len(video))
    left_out["gaze samples after the video's end"] = int((~kept).sum())
    stamps_ns = UNDATED_START_NS + video.times_ns[frame[kept]]
    count = len(stamps_ns)
    take = _take(folder)
    return ImportedSession(
        metadata={
            "session": folder.resolve().name,
            "person": str(take.get("participant_uid", "") or ""),
            "task": str(take.get("task_name", "") or ""),
            "tracker": "Project Aria Gen1",
            "gaze_file": gaze.name,
        },
        videos=[TimedVideo(video, UNDATED_START_NS + video.times_ns)],
        gaze=GazeTrack(
            stamps_ns,
            xy[kept],
            np.full(count, np.nan),
            np.full(count, WORN_UNKNOWN, np.uint8),
            np.full(count, EYE_UNKNOWN, np.uint8),
            GAZE_SIZE,
        ),
        device_ns=np.zeros(count, np.int64),
        labels=track_from_actions([], left_out),
        left_out=left_out,
    )


def _video_of(folder: Path) -> Path:
    """Return the upright colour video: the full one, or the data set's small copy."""
    for place in ("frame_aligned_videos", "frame_aligned_videos/downscaled/448"):
        found = sorted((folder / place).glob("aria*_214-1.mp4"))
        if found:
            return found[0]
    raise FileMissing(
        f"{folder} has no frame_aligned_videos/aria*_214-1.mp4: expected a take of Ego-Exo4D; download part takes"
    )


def _gaze_of(folder: Path) -> Path:
    for name in NAMES:
        if (folder / "eye_gaze" / name).is_file():
            return folder / "eye_gaze" / name
    raise FileMissing(
        f"{folder} has no {' or '.join(f'eye_gaze/{name}' for name in NAMES)}: download part take_eye_gaze, or import "
        "the take's .vrs with its yaw and pitch (import aria)"
    )


def _take(folder: Path) -> dict[str, Any]:
    """Return what takes.json says about a take; {} where it is not there."""
    path = folder.resolve().parent.parent / "takes.json"
    if not path.is_file():
        return {}
    try:
        takes = json.loads(path.read_text(encoding="utf-8"))
        return next((take for take in takes if take["take_name"] == folder.resolve().name), {})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadTakes(f"{path} cannot be read ({type(error).__name__}: {error}); download it again") from None

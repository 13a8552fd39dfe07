"""EgoExoLearn: one head-camera video with its gaze of 30 Hz, and the fine annotations.

Data set: https://github.com/OpenGVLab/EgoExoLearn. Gaze: gazes_30fps_npy/<video uid>.npy, one row a frame, x and y as
shares of the picture from the top left corner, and a validity where there is a third column. Annotations:
fine_annotation_trainval_en.csv, one row an action, in s of the video. It has no dates, and no numbers of persons.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.importers.eye_events import EYE_UNKNOWN, WORN_UNKNOWN
from gaze_vlm_ros.importers.imported_session import UNDATED_START_NS, ImportedSession, TimedVideo
from gaze_vlm_ros.importers.plausible import WrongUnit, distinct_samples, require_on_picture, without_placeholders
from gaze_vlm_ros.importers.video import Video, read_video, require_rate, within_video
from gaze_vlm_ros.labels.actions import Action
from gaze_vlm_ros.labels.track import track_from_actions
from gaze_vlm_ros.session.gaze_track import GazeTrack, points_to_px
from gaze_vlm_ros.storage.tables import BadRow, FileMissing, read_table, require_file

RATE_HZ = 30
PLACEHOLDERS = ((0.0, 0.0), (0.5, 0.5), (-1.0, -1.0))  # written where there is no gaze
UID, START, END, VIEW, SCENE = "video_uid", "start_sec", "end_sec", "view", "scene"
TEXT = "narration_en_no_hand_prompt"  # without left and right hand; else narration_en


class NoActions(GazeVlmError):
    """The annotations have none of this video."""


def read_egoexolearn(
    video_path: Path, gaze: Path | None = None, labels: Path | None = None, cut: bool = False
) -> ImportedSession:
    """Read one head-camera video, named by its uid.

    gaze: its .npy; None = gazes_30fps_npy/<uid>.npy near the video. labels: the annotations of all videos; None = no
    labels. cut: leave out gaze and labels beyond the video, however long. Raises FileMissing, BadRow, WrongColumns,
    BadVideo, WrongFrameRate, VideoTooShort, WrongUnit, HeldSamples, NoActions.
    """
    require_file(video_path, "a head-camera video of EgoExoLearn, <video uid>.mp4")
    gaze = gaze or _near(video_path)
    video = read_video(video_path)
    require_rate(video, RATE_HZ, "gaze counts frames by number")
    left_out: Counter[str] = Counter()
    shares = _read_gaze(gaze, left_out)
    frame = np.arange(len(shares))
    kept = within_video(video, frame * 1_000_000_000 // RATE_HZ, "gaze samples", cut) & (frame < len(video))
    left_out["gaze samples after the video's end"] = int((~kept).sum())
    xy = points_to_px(shares[kept], "normalized_top_left", video.size)
    require_on_picture(xy, video.size, gaze)
    distinct_samples(xy, "refuse", gaze, left_out)
    stamps_ns = UNDATED_START_NS + video.times_ns[frame[kept]]
    actions, scene = _actions(labels, video, video_path.stem, left_out, cut) if labels is not None else ([], "")
    count = len(stamps_ns)
    return ImportedSession(
        metadata={"session": video_path.stem, "scene": scene, "tracker": "EgoExoLearn gaze", "gaze_file": gaze.name},
        videos=[TimedVideo(video, UNDATED_START_NS + video.times_ns)],
        gaze=GazeTrack(
            stamps_ns,
            xy,
            np.full(count, np.nan),
            np.full(count, WORN_UNKNOWN, np.uint8),
            np.full(count, EYE_UNKNOWN, np.uint8),
            video.size,
        ),
        device_ns=np.zeros(count, np.int64),
        labels=track_from_actions(actions, left_out),
        left_out=left_out,
    )


def _near(video: Path) -> Path:
    folders = [video.parent / "gazes_30fps_npy", video.parent.parent / "gazes_30fps_npy", video.parent]
    for folder in folders:
        if (folder / f"{video.stem}.npy").is_file():
            return folder / f"{video.stem}.npy"
    raise FileMissing(
        f"no gaze of {video}: expected {video.stem}.npy in one of {', '.join(map(str, folders))}; videos of other "
        "views have none; give it with --gaze"
    )


def _read_gaze(path: Path, left_out: Counter[str]) -> NDArray[np.float64]:
    """Return shares (N, 2) of the picture, NaN where there is no gaze."""
    require_file(path, "gaze of an EgoExoLearn video, .npy")
    try:
        table = np.asarray(np.load(path, allow_pickle=False), np.float64)
    except (OSError, ValueError, EOFError) as error:
        raise BadRow(f"{path} cannot be read as an array ({error}); download it again") from None
    if table.ndim != 2 or table.shape[1] not in (2, 3) or not len(table):
        raise BadRow(f"{path} is an array of shape {table.shape}, expected (frames, 2 or 3): x, y and a validity")
    shares = without_placeholders(table[:, :2], PLACEHOLDERS, left_out)
    if table.shape[1] == 3:
        invalid = ~(table[:, 2] > 0)
        left_out["gaze samples that are marked as invalid (kept, without a point)"] = int(invalid.sum())
        shares[invalid] = np.nan
    if np.nanmax(np.abs(shares), initial=0) > 10:
        raise WrongUnit(f"{path}: gaze is up to {np.nanmax(np.abs(shares)):g}, expected shares of the picture")
    return shares


def _actions(path: Path, video: Video, uid: str, left_out: Counter[str], cut: bool) -> tuple[list[Action], str]:
    table = read_table(
        path, "fine_annotation_trainval_en.csv of EgoExoLearn", floats=(START, END),
        texts=(UID, VIEW, SCENE, "narration_en", TEXT), optional=(VIEW, SCENE, TEXT),
    )  # fmt: skip
    own = np.array([name == uid for name in table.texts[UID]], np.bool_)
    if not own.any():
        raise NoActions(f"{path} has no action of video {uid!r}; name the video by its uid, or give no labels")
    texts = table.texts.get(TEXT, table.texts["narration_en"])
    starts_ns = np.round(np.nan_to_num(table.floats[START]) * 1e9).astype(np.int64)
    ends_ns = np.round(np.nan_to_num(table.floats[END]) * 1e9).astype(np.int64)
    kept = np.zeros(len(own), np.bool_)
    kept[own] = within_video(video, starts_ns[own], "labels", cut)
    left_out["actions after the video's end"] += int((own & ~kept).sum())
    first = int(np.flatnonzero(own)[0])
    scene = table.texts[SCENE][first] if SCENE in table.texts else ""
    return [
        Action(UNDATED_START_NS + int(starts_ns[row]), UNDATED_START_NS + int(ends_ns[row]), texts[row].strip(". "))
        for row in np.flatnonzero(kept)
    ], scene

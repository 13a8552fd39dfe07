"""HoloAssist: one session's export, with gaze rays of HoloLens 2 put onto the pixels of its camera.

Data set: https://holoassist.github.io/. A session's folder holds Export_py: Video_pitchshift.mp4 (or
Video_compress.mp4), Video/VideoMp4Timing.txt (time of the first frame), Video/Pose_sync.txt (camera to world, 4x4, row
by row), Video/Intrinsics.txt (3x3, width, height) and Eyes/Eyes_sync.txt (origin, direction, valid). Columns of the
_sync files: s, ticks of 100 ns, values; one row a frame, so a sensor's row may stand twice. Axes of poses: x forward, y
left, z up. Annotations: one JSON list; events "Fine grained action" are in s of the video, and their "Action
Correctness" marks mistakes.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.importers.eye_events import EYE_UNKNOWN, WORN_UNKNOWN
from gaze_vlm_ros.importers.imported_session import UNDATED_START_NS, CameraModel, ImportedSession, TimedVideo
from gaze_vlm_ros.importers.plausible import require_on_picture
from gaze_vlm_ros.importers.video import Video, read_video, within_video
from gaze_vlm_ros.labels.actions import Action
from gaze_vlm_ros.labels.track import track_from_actions
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.storage.tables import BadRow, FileMissing, require_file, time_order

# A ray has no point. The data set's own script takes it at half a metre: hands and tools are there.
DISTANCE_M = 0.5
TICK_NS = 100
YEAR_1970 = 621_355_968_000_000_000  # in ticks since the year 1, as .NET counts; smaller numbers have no date
NEAREST_POSE_NS = 50_000_000  # a pose of the camera belongs to a ray this near in time: 1.5 frames
MISTAKE = " (mistake)"  # ends the text of an action that is annotated as wrong
# From the axes of the poses to those of a camera: x right, y down, z forward.
_TO_CAMERA = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]], np.float64)


class WrongDistance(GazeVlmError):
    """The distance of gaze is none."""


class BadAnnotations(GazeVlmError):
    """The annotations are damaged, or have none of this session."""


class OtherSize(GazeVlmError):
    """The calibration is of another picture shape than the video."""


def read_holoassist(
    folder: Path, labels: Path | None = None, cut: bool = False, distance_m: float | None = None
) -> ImportedSession:
    """Read a session's folder, named as in the data set, such as R007-7July-DSLR.

    labels: the annotations of all sessions; None = no labels. distance_m: of a gaze point; None = DISTANCE_M.
    Raises FileMissing, BadRow, OutOfOrder, BadVideo, TurnedVideo, VideoTooShort, OtherSize, WrongUnit, WrongDistance,
    BadAnnotations.
    """
    distance_m = DISTANCE_M if distance_m is None else distance_m
    if not 0 < distance_m < 1000:
        raise WrongDistance(f"the distance of gaze is {distance_m:g} m, expected more than 0 and less than 1000")
    export = folder / "Export_py" if (folder / "Export_py").is_dir() else folder
    left_out: Counter[str] = Counter()
    video = read_video(_video_of(export))
    first_tick = int(_rows(export / "Video" / "VideoMp4Timing.txt", 1)[0][0])
    pose_ticks, poses = _rows(export / "Video" / "Pose_sync.txt", 18)
    eyes_path = export / "Eyes" / "Eyes_sync.txt"
    ticks, rays = _rows(eyes_path, 9)
    own = np.concatenate([[True], ticks[1:] != ticks[:-1]])
    left_out["rows of Eyes_sync.txt that repeat the sample before"] = int((~own).sum())
    ticks, rays = ticks[own], rays[own]
    times_ns, poses_ns = (ticks - first_tick) * TICK_NS, (pose_ticks - first_tick) * TICK_NS
    matrix = _matrix(export / "Video" / "Intrinsics.txt", video)
    xy = _points(rays, times_ns, poses, poses_ns, matrix, distance_m)
    invalid = rays[:, 8] != 1
    left_out["gaze samples that are marked as invalid (kept, without a point)"] = int(invalid.sum())
    xy[invalid] = np.nan
    require_on_picture(xy, video.size, eyes_path)
    kept = within_video(video, times_ns, "gaze samples", cut)
    left_out["gaze samples after the video's end"] = int((~kept).sum())
    order = np.flatnonzero(kept)[time_order(times_ns[kept], eyes_path)]
    start_ns = (first_tick - YEAR_1970) * TICK_NS if first_tick > YEAR_1970 else UNDATED_START_NS
    session = folder.resolve().name
    actions = _actions(labels, session, start_ns, left_out) if labels is not None else []
    starts_ns = np.array([action.start_ns - start_ns for action in actions], np.int64)
    inside = within_video(video, starts_ns, "labels", cut)
    left_out["actions after the video's end"] = int((~inside).sum())
    count = len(order)
    return ImportedSession(
        metadata={
            "session": session,
            "task": session.rpartition("-")[2],
            "tracker": "HoloLens 2",
            "gaze_distance": f"{distance_m:g} m for every sample",
        },
        videos=[TimedVideo(video, start_ns + video.times_ns)],
        gaze=GazeTrack(
            start_ns + times_ns[order],
            xy[order],
            np.full(count, np.nan),
            np.full(count, WORN_UNKNOWN, np.uint8),
            np.full(count, EYE_UNKNOWN, np.uint8),
            video.size,
        ),
        device_ns=np.zeros(count, np.int64),
        labels=track_from_actions([action for action, keep in zip(actions, inside, strict=True) if keep], left_out),
        camera=CameraModel(matrix, np.zeros(5)),
        left_out=left_out,
    )


def _video_of(export: Path) -> Path:
    for name in ("Video_pitchshift.mp4", "Video_compress.mp4"):
        if (export / name).is_file():
            return export / name
    raise FileMissing(f"{export} has no Video_pitchshift.mp4 or Video_compress.mp4: expected a session of HoloAssist")


def _rows(path: Path, columns: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the ticks (N,) and the numbers (N, columns) of a text file. Raises FileMissing, BadRow.

    The ticks are the second column, or the only one. Since the year 1 they need more digits than a double has.
    """
    require_file(path, f"{path.name} of a HoloAssist session")
    ticks, rows = [], []
    for line, text in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        fields = text.split()
        if not fields:
            continue
        try:
            if len(fields) < columns:
                raise ValueError(f"{len(fields)} numbers")
            rows.append([float(field) for field in fields[:columns]])
            ticks.append(int(fields[min(columns - 1, 1)]))
        except ValueError as error:
            raise BadRow(f"{path}, line {line}: {error}, expected {columns} numbers; download it again") from None
    if not rows:
        raise BadRow(f"{path} is empty, expected {columns} numbers a line; download it again")
    return np.array(ticks, np.int64), np.array(rows, np.float64)


def _matrix(path: Path, video: Video) -> NDArray[np.float64]:
    """Return the camera matrix for the video's size. Raises OtherSize for a calibration of another shape."""
    fields = path.read_text(encoding="utf-8", errors="replace").split() if path.is_file() else []
    require_file(path, "the camera calibration of a HoloAssist session (part cam_info)")
    try:
        numbers = [float(field) for field in fields]
        if len(numbers) < 11:
            raise ValueError(f"{len(numbers)} numbers")
    except ValueError as error:
        raise BadRow(f"{path}: {error}, expected the matrix (9), width and height; download it again") from None
    matrix, (width, height) = np.array(numbers[:9]).reshape(3, 3), (numbers[-2], numbers[-1])
    scale_x, scale_y = video.size[0] / width, video.size[1] / height
    if abs(scale_x / scale_y - 1) > 0.01:
        raise OtherSize(
            f"{path} is of {width:g}x{height:g} px and the video has {video.size[0]}x{video.size[1]}; give its video"
        )
    to_size = np.array([[scale_x, 0, 0.5 * scale_x - 0.5], [0, scale_y, 0.5 * scale_y - 0.5], [0, 0, 1]])
    return np.asarray(to_size @ matrix)


def _points(
    rays: NDArray[np.float64],
    times_ns: NDArray[np.int64],
    poses: NDArray[np.float64],
    poses_ns: NDArray[np.int64],
    matrix: NDArray[np.float64],
    distance_m: float,
) -> NDArray[np.float64]:
    """Return points (N, 2) px of rays at a distance; NaN without a pose near in time, and behind the camera."""
    after = np.searchsorted(poses_ns, times_ns).clip(0, len(poses_ns) - 1)
    before = np.maximum(after - 1, 0)
    near = np.where(np.abs(poses_ns[before] - times_ns) <= np.abs(poses_ns[after] - times_ns), before, after)
    world = poses[near, 2:18].reshape(-1, 4, 4)
    with np.errstate(invalid="ignore", divide="ignore"):
        directions = rays[:, 5:8] / np.linalg.norm(rays[:, 5:8], axis=1, keepdims=True)
        points = rays[:, 2:5] + directions * distance_m
        # The inverse of a rotation and a translation.
        seen = np.einsum("nji,nj->ni", world[:, :3, :3], points - world[:, :3, 3]) @ _TO_CAMERA.T @ matrix.T
        xy = seen[:, :2] / seen[:, 2:]
    usable = (seen[:, 2] > 0) & (np.abs(poses_ns[near] - times_ns) <= NEAREST_POSE_NS) & np.isfinite(xy).all(axis=1)
    return np.where(usable[:, None], xy, np.nan)


def _actions(path: Path, session: str, start_ns: int, left_out: Counter[str]) -> list[Action]:
    require_file(path, "data-annotation-trainval-v1_1.json of HoloAssist")
    try:
        sessions = {entry["video_name"]: entry["events"] for entry in json.loads(path.read_text(encoding="utf-8"))}
        if session not in sessions:
            raise BadAnnotations(f"{path} has nothing of session {session!r}; name the folder after its session")
        return [_action(event, start_ns) for event in sessions[session] if event["label"] == "Fine grained action"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadAnnotations(
            f"{path} is not the annotation file of HoloAssist, or is damaged ({type(error).__name__}: {error})"
        ) from None


def _action(event: dict[str, Any], start_ns: int) -> Action:
    said = event["attributes"]
    verb, adjective, noun = (_word(said.get(name)) for name in ("Verb", "Adjective", "Noun"))
    thing = " ".join(filter(None, (adjective, noun)))
    wrong = str(said.get("Action Correctness", "")).lower().startswith("wrong")
    text = " ".join(filter(None, (verb, thing)))
    begin, end = (start_ns + round(float(event[name]) * 1e9) for name in ("start", "end"))
    return Action(begin, end, text + (MISTAKE if wrong and text else ""), verb, noun)


def _word(text: Any) -> str:
    word = str(text or "").strip().replace("_", " ").lower()
    return "" if word == "none" else word

"""Tobii Pro Glasses 3: a recording's folder, as it is on the SD card.

Format: Tobii Pro Glasses 3 developer guide, "Recording data format": recording.g3 (JSON) names the files; gazedata.gz
has one JSON object a line, with `timestamp`, s since the recording began, and gaze2d, shares of the scene picture from
its top left corner. `created` in recording.g3 is that beginning in UTC. A sample without gaze has no gaze2d.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.importers.eye_events import EYE_UNKNOWN, WORN_UNKNOWN
from gaze_vlm_ros.importers.imported_session import UNDATED_START_NS, CameraModel, ImportedSession, TimedVideo
from gaze_vlm_ros.importers.json_file import read_json
from gaze_vlm_ros.importers.plausible import WrongUnit, require_on_picture
from gaze_vlm_ros.importers.video import read_video, within_video
from gaze_vlm_ros.labels.track import track_from_actions
from gaze_vlm_ros.session.gaze_track import GazeTrack, points_to_px
from gaze_vlm_ros.storage.tables import BadRow, FileMissing, require_file, time_order

RECORDING = "recording.g3"


class BadRecording(GazeVlmError):
    """recording.g3 is damaged, or of another version."""


class OtherSize(GazeVlmError):
    """The calibration is of another picture size than the video."""


def read_tobii_g3(folder: Path, cut: bool = False) -> ImportedSession:
    """Read a recording's folder. cut: leave out gaze beyond the video, however long.

    Raises FileMissing, BadRecording, BadRow, OutOfOrder, BadVideo, TurnedVideo, VideoTooShort, OtherSize, WrongUnit.
    """
    about = _about(folder)
    left_out: Counter[str] = Counter()
    gaze_path = folder / _name_of(about, "gaze", "gazedata.gz", folder)
    samples = _read_gaze(gaze_path, left_out)
    video = read_video(folder / _name_of(about, "scenecamera", "scenevideo.mp4", folder))
    # The container's own times, not those after the first frame: they count from the recording's beginning, as gaze.
    tick_ns = video.time_base * 1_000_000_000
    first_ns = round(int(video.pts[0]) * tick_ns)
    xy = points_to_px(samples.shares, "normalized_top_left", video.size)
    require_on_picture(xy, video.size, gaze_path)
    if np.nanmax(np.abs(samples.shares), initial=0) > 10:
        raise WrongUnit(
            f"{gaze_path}: gaze2d is up to {np.nanmax(np.abs(samples.shares)):g}, expected shares of the picture"
        )
    kept = within_video(video, samples.times_ns - first_ns, "gaze samples", cut)
    left_out["gaze samples after the video's end"] = int((~kept).sum())
    order = np.flatnonzero(kept)[time_order(samples.times_ns[kept], gaze_path)]
    start_ns = _start_ns(about, folder)
    count = len(order)
    return ImportedSession(
        metadata={
            "session": str(about.get("name") or folder.resolve().name),
            "person": _participant(folder),
            "tracker": "Tobii Pro Glasses 3",
            "tracker_serial": _meta(folder, "RuSerial"),
            "recording_id": str(about.get("uuid", "")),
        },
        videos=[TimedVideo(video, start_ns + first_ns + video.times_ns)],
        gaze=GazeTrack(
            start_ns + samples.times_ns[order],
            xy[order],
            np.full(count, np.nan),
            np.full(count, WORN_UNKNOWN, np.uint8),
            np.full(count, EYE_UNKNOWN, np.uint8),
            video.size,
        ),
        device_ns=samples.times_ns[order],
        labels=track_from_actions([], left_out),
        camera=_camera(about, video.size, folder, left_out),
        pupils_mm=samples.pupils_mm[order],
        vergence_m=samples.vergence_m[order],
        left_out=left_out,
    )


class _Samples(NamedTuple):
    times_ns: NDArray[np.int64]  # (N,) after the recording's beginning
    shares: NDArray[np.float64]  # (N, 2) of the picture; NaN = none
    pupils_mm: NDArray[np.float64]  # (N, 2)
    vergence_m: NDArray[np.float64]  # (N,)


def _about(folder: Path) -> dict[str, Any]:
    path = folder / RECORDING
    require_file(path, "the description of a Tobii Pro Glasses 3 recording; copy the recording's whole folder")
    about = read_json(path, BadRecording, "copy the folder again")
    if not (isinstance(about, dict) and isinstance(about.get("scenecamera"), dict)):
        raise BadRecording(f"{path} has no scenecamera: expected a recording of Tobii Pro Glasses 3")
    return about


def _name_of(about: dict[str, Any], part: str, default: str, folder: Path) -> str:
    """Return the file name that recording.g3 gives for a part; only a plain name is taken."""
    entry = about.get(part)
    name = str(entry.get("file", default)) if isinstance(entry, dict) else default
    if not (folder / Path(name).name).is_file():
        raise FileMissing(
            f"{folder / Path(name).name} is missing: expected {part} of the recording; copy the whole folder"
        )
    return Path(name).name


def _read_gaze(path: Path, left_out: Counter[str]) -> _Samples:
    times_ns, shares, pupils, vergence = [], [], [], []
    line = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            for text in stream:
                line += 1
                entry = json.loads(text)
                if entry.get("type") != "gaze":
                    left_out[f"rows of {path.name} that are no gaze"] += 1
                    continue
                data = entry.get("data") or {}
                times_ns.append(round(float(entry["timestamp"]) * 1e9))
                shares.append([float(value) for value in data.get("gaze2d") or (np.nan, np.nan)])
                eyes = [data.get(eye) or {} for eye in ("eyeleft", "eyeright")]
                pupils.append([float(eye.get("pupildiameter") or np.nan) for eye in eyes])
                vergence.append(_distance_m(data, eyes))
        points = np.array(shares, np.float64).reshape(-1, 2)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadRow(
            f"{path}, line {line}: {type(error).__name__}: {error}; expected one JSON object a line with timestamp (s) "
            "and gaze2d [x, y]; copy the file again"
        ) from None
    except (EOFError, OSError, zlib.error) as error:
        raise BadRow(f"{path} is cut or damaged after line {line} ({error}); copy the file again") from None
    if not times_ns:
        raise BadRow(f"{path} holds no gaze sample; record with gaze, or copy the file again")
    return _Samples(np.array(times_ns, np.int64), points, np.array(pupils).reshape(-1, 2), np.array(vergence))


def _distance_m(data: dict[str, Any], eyes: list[dict[str, Any]]) -> float:
    """Return the distance, m, from between the eyes to the point where their directions meet (gaze3d, mm); or NaN."""
    origins = [eye["gazeorigin"] for eye in eyes if eye.get("gazeorigin")]
    if len(origins) < 2 or not data.get("gaze3d"):
        return float(np.nan)
    return float(np.linalg.norm(np.subtract(data["gaze3d"], np.mean(origins, axis=0)))) / 1000


def _start_ns(about: dict[str, Any], folder: Path) -> int:
    created = about.get("created")
    if created is None:
        return UNDATED_START_NS
    try:
        moment = datetime.fromisoformat(str(created).replace("Z", "+00:00"))
    except ValueError:
        raise BadRecording(
            f"{folder / RECORDING}: created is {created!r}, expected a time such as 2026-05-17T14:12:48.123456Z"
        ) from None
    moment = moment.replace(tzinfo=moment.tzinfo or timezone.utc)
    whole = moment.replace(microsecond=0)
    return round(whole.timestamp()) * 1_000_000_000 + moment.microsecond * 1000


def _camera(about: dict[str, Any], size: tuple[int, int], folder: Path, left_out: Counter[str]) -> CameraModel | None:
    found = about["scenecamera"].get("camera-calibration")
    if not found:
        left_out["calibration of the scene camera: recording.g3 has none"] = 1
        return None
    try:
        (fx, fy), (cx, cy) = found["focal-length"], found["principal-point"]
        k1, k2, k3 = found["radial-distortion"]
        p1, p2 = found["tangential-distortion"][:2]
        matrix = np.array([[fx, float(found.get("skew", 0)), cx], [0, fy, cy], [0, 0, 1]], np.float64)
        model = CameraModel(matrix, np.array([k1, k2, p1, p2, k3], np.float64))
        resolution = tuple(int(value) for value in found.get("resolution", size))
    except (KeyError, TypeError, ValueError) as error:
        raise BadRecording(
            f"{folder / RECORDING}: camera-calibration cannot be read ({type(error).__name__}: {error}); copy it again"
        ) from None
    if resolution != size:
        raise OtherSize(
            f"{folder}: the calibration is of {resolution[0]}x{resolution[1]} px, the video of {size[0]}x{size[1]}; "
            "give the original scene video"
        )
    return model


def _meta(folder: Path, name: str) -> str:
    path = folder / "meta" / name
    return path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""


def _participant(folder: Path) -> str:
    text = _meta(folder, "participant")
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return text
    return str(found.get("name", "")) if isinstance(found, dict) else str(found)

"""Pupil Cloud's "Timeseries Data + Scene Video" download: one folder per recording.

Files and columns: https://docs.pupil-labs.com/neon/data-collection/data-format/. Stamps are UTC in ns; x and y are px
of the scene image from its top left corner. gaze.csv, world_timestamps.csv and the video are required; all else is
optional: older downloads lack saccades.csv and some columns.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.bags.files import is_companion
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.importers.eye_events import (
    EYE_BLINK,
    EYE_FIXATION,
    EYE_UNKNOWN,
    WORN_NO,
    WORN_UNKNOWN,
    WORN_YES,
    Intervals,
    eye_states,
)
from gaze_vlm_ros.importers.imported_session import CameraModel, ImportedSession, TimedVideo
from gaze_vlm_ros.importers.json_file import read_json
from gaze_vlm_ros.importers.video import LONGEST_TAIL_S, Video, read_video
from gaze_vlm_ros.labels.actions import actions_from_events
from gaze_vlm_ros.labels.track import track_from_actions
from gaze_vlm_ros.neon.recording import ImuSamples
from gaze_vlm_ros.neon.vergence import crossing_distance
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.session.session import LabelTrack
from gaze_vlm_ros.storage.tables import FileMissing, OutOfOrder, Table, read_table, time_order

STAMP, START, END = "timestamp [ns]", "start timestamp [ns]", "end timestamp [ns]"
GYROSCOPE = ("gyro x [deg/s]", "gyro y [deg/s]", "gyro z [deg/s]")
PUPILS = ("pupil diameter left [mm]", "pupil diameter right [mm]")
EYES = tuple(
    tuple(f"{part} {eye} {axis}" + unit for axis in "xyz")
    for eye in ("left", "right")
    for part, unit in (("eyeball center", " [mm]"), ("optical axis", ""))
)
ACCELERATION = ("acceleration x [g]", "acceleration y [g]", "acceleration z [g]")
QUATERNION = ("quaternion x", "quaternion y", "quaternion z", "quaternion w")


class BadJson(GazeVlmError):
    """A JSON file is damaged or incomplete."""


class UnclearVideo(GazeVlmError):
    """It is unclear which video belongs to which timestamps."""


class FramesDiffer(GazeVlmError):
    """The numbers of video frames and timestamps differ."""


def read_neon_cloud(folder: Path, events_as_labels: bool = False, cut: bool = False) -> ImportedSession:
    """Read one recording's folder of the download.

    events_as_labels: use events.csv as actions; otherwise there are no labels. cut: leave out frames without
    timestamps, however many. Raises FileMissing, WrongColumns, BadRow, OutOfOrder,
    BadVideo, BadJson, UnclearVideo, FramesDiffer.
    """
    left_out: Counter[str] = Counter()
    table = _read(folder, "gaze.csv", ints=(STAMP,), floats=("gaze x [px]", "gaze y [px]", "worn"),
                  texts=("fixation id", "blink id"), optional=("worn", "fixation id", "blink id"))  # fmt: skip
    videos = _videos(folder, left_out, cut)
    order = time_order(table.ints[STAMP], table.path)
    stamps_ns = table.ints[STAMP][order]
    pupils_mm, vergence_m = _eyes(folder, stamps_ns)
    info = _read_json(folder / "info.json")
    return ImportedSession(
        metadata={
            "session": folder.resolve().name,
            "person": str(info.get("wearer_id", "")),
            "tracker": _tracker(info),
            "tracker_serial": str(info.get("module_serial_number", info.get("glasses_serial_number", ""))),
            "recording_id": str(info.get("recording_id", "")),
        },
        videos=videos,
        gaze=GazeTrack(
            stamps_ns,
            np.stack([table.floats["gaze x [px]"], table.floats["gaze y [px]"]], axis=1)[order],
            np.full(len(stamps_ns), np.nan),
            _worn(table)[order],
            _eye_states(folder, table, order),
            videos[0].video.size,
        ),
        device_ns=stamps_ns,
        labels=_labels(folder, left_out) if events_as_labels else track_from_actions([], left_out),
        imu=_imu(folder),
        camera=_camera(folder),
        pupils_mm=pupils_mm,
        vergence_m=vergence_m,
        left_out=left_out,
    )


def _tracker(info: dict[str, Any]) -> str:
    """Return the glasses' name: Pupil Invisible's downloads have the same files, and other serials."""
    if "module_serial_number" in info:
        return "Pupil Labs Neon"
    return "Pupil Invisible" if "glasses_serial_number" in info else "Pupil Labs"


def _read(folder: Path, name: str, **columns: Any) -> Table:
    return read_table(folder / name, f"{name} of a Pupil Cloud download (Timeseries Data + Scene Video)", **columns)


def _read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, or {} if there is no file. Raises BadJson."""
    if not path.is_file():
        return {}
    content = read_json(path, BadJson, "download it again, or remove it")
    if not isinstance(content, dict):
        raise BadJson(f"{path} holds a {type(content).__name__}, expected an object; download it again, or remove it")
    return content


def _videos(folder: Path, left_out: Counter[str], cut: bool) -> list[TimedVideo]:
    """Return the video of each section with the section's timestamps."""
    paths = sorted(path for path in folder.glob("*.mp4") if not is_companion(path))
    if not paths:
        raise FileMissing(
            f"{folder} holds no .mp4: expected the scene video, named <section id>_<start>-<end>.mp4; download "
            '"Timeseries Data + Scene Video", not only "Timeseries Data"'
        )
    table = _read(folder, "world_timestamps.csv", ints=(STAMP,), texts=("section id",), optional=("section id",))
    stamps_ns = table.ints[STAMP]
    sections = np.array(table.texts.get("section id", [""] * len(stamps_ns)), str)
    videos = []
    used = np.zeros(len(stamps_ns), np.bool_)
    for path in paths:
        chosen = np.ones(len(stamps_ns), np.bool_)
        if len(paths) > 1 or len(set(sections)) > 1:
            prefix = path.stem.partition("_")[0]
            chosen = np.char.startswith(sections, prefix)
            if len(set(sections[chosen])) != 1:
                raise UnclearVideo(
                    f"{path} does not belong to one section of world_timestamps.csv: expected a name that starts with "
                    f"one of {', '.join(sorted(set(sections)))}; remove videos of other downloads"
                )
        used |= chosen
        if timed := _timed(read_video(path), stamps_ns[chosen], table.path, left_out, cut):
            videos.append(timed)
    left_out["frames of sections without a video"] = int((~used).sum())
    if not videos:
        raise FramesDiffer(f"{table.path} holds no timestamps for {paths[0].name}; download it again")
    for timed in videos[1:]:
        if timed.video.size != videos[0].video.size:
            raise UnclearVideo(f"{timed.video.path} and {videos[0].video.path} differ in size; keep one of the two")
    return sorted(videos, key=lambda timed: int(timed.stamps_ns[0]))


def _timed(
    video: Video, stamps_ns: NDArray[np.int64], path: Path, left_out: Counter[str], cut: bool
) -> TimedVideo | None:
    if np.any(np.diff(stamps_ns) < 0):
        row = int(np.argmin(np.diff(stamps_ns)))
        raise OutOfOrder(f"{path}: time goes back after frame {row + 1} ({stamps_ns[row]} ns), expected rising times")
    count = min(len(video), len(stamps_ns))
    if abs(len(video) - len(stamps_ns)) * video.frame_ns > LONGEST_TAIL_S * 1e9 and not cut:
        raise FramesDiffer(
            f"{video.path} has {len(video)} frames and {path.name} {len(stamps_ns)} timestamps, expected "
            "equal numbers; download both again, or give --cut to pair them from the start"
        )
    left_out["frames without a timestamp"] += len(video) - count
    left_out["timestamps without a frame"] += len(stamps_ns) - count
    return TimedVideo(video, stamps_ns[:count]) if count else None


def _worn(table: Table) -> NDArray[np.uint8]:
    worn = table.floats.get("worn")
    if worn is None:
        return np.full(len(table.ints[STAMP]), WORN_UNKNOWN, np.uint8)
    return np.select([np.isnan(worn), worn > 0], [WORN_UNKNOWN, WORN_YES], WORN_NO).astype(np.uint8)


def _eye_states(folder: Path, table: Table, order: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Return eye states (N,) from the event files, and from the ids of events in gaze.csv."""
    stamps_ns = table.ints[STAMP][order]
    states = eye_states(stamps_ns, *(_intervals(folder, name) for name in ("fixations", "saccades", "blinks")))
    fixation, blink = (
        np.array(table.texts.get(name, [""] * len(stamps_ns)), str)[order] != "" for name in ("fixation id", "blink id")
    )
    states[fixation & (states == EYE_UNKNOWN)] = EYE_FIXATION
    states[blink] = EYE_BLINK
    return states


def _eyes(folder: Path, stamps_ns: NDArray[np.int64]) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Return diameters of the pupils (N, 2), mm, and vergence distances (N,), m, of the samples at `stamps_ns`.

    NaN where 3d_eye_states.csv has no row of the same stamp; None without the file.
    """
    if not (folder / "3d_eye_states.csv").is_file():
        return None, None
    columns = (*PUPILS, *(name for triple in EYES for name in triple))
    table = _read(folder, "3d_eye_states.csv", ints=(STAMP,), floats=columns, optional=columns)
    row_of = {stamp_ns: row for row, stamp_ns in enumerate(table.ints[STAMP].tolist())}
    rows = np.array([row_of.get(stamp_ns, -1) for stamp_ns in stamps_ns.tolist()], np.int64)
    unknown = np.full(len(table.ints[STAMP]) + 1, np.nan)  # the last entry is that of no row

    def of_samples(name: str) -> NDArray[np.float64]:
        return np.append(table.floats[name], np.nan)[rows] if name in table.floats else unknown[rows]

    pupils_mm = np.stack([of_samples(name) for name in PUPILS], axis=1)
    crossing_mm = crossing_distance(*(np.stack([of_samples(name) for name in triple], axis=1) for triple in EYES))
    return pupils_mm, crossing_mm / 1000


def _intervals(folder: Path, name: str) -> Intervals | None:
    if not (folder / f"{name}.csv").is_file():
        return None
    table = _read(folder, f"{name}.csv", ints=(START, END))
    return Intervals(table.ints[START], table.ints[END])


def _labels(folder: Path, left_out: Counter[str]) -> LabelTrack:
    table = _read(folder, "events.csv", ints=(STAMP,), texts=("name",))
    return track_from_actions(actions_from_events(table.ints[STAMP].tolist(), table.texts["name"], left_out), left_out)


def _imu(folder: Path) -> ImuSamples | None:
    if not (folder / "imu.csv").is_file():
        return None
    table = _read(
        folder, "imu.csv", ints=(STAMP,), floats=(*GYROSCOPE, *ACCELERATION, *QUATERNION), optional=QUATERNION
    )
    order = time_order(table.ints[STAMP], table.path)
    zeros = np.zeros(len(order))  # all zeros = no orientation
    return ImuSamples(
        table.ints[STAMP][order],
        np.stack([table.floats[name] for name in ACCELERATION], axis=1)[order],
        np.stack([table.floats[name] for name in GYROSCOPE], axis=1)[order],
        np.nan_to_num(np.stack([table.floats.get(name, zeros) for name in QUATERNION], axis=1))[order],
    )


def _camera(folder: Path) -> CameraModel | None:
    path = folder / "scene_camera.json"
    content = _read_json(path)
    if not content:
        return None
    # The data format page says dist_coefs, the vendor's tutorial distortion_coefficients.
    distortion = content.get("dist_coefs", content.get("distortion_coefficients"))
    try:
        model = CameraModel(
            np.array(content["camera_matrix"], float).reshape(3, 3), np.array(distortion, float).ravel()
        )
    except (KeyError, TypeError, ValueError):
        model = None
    if model is None or len(model.distortion) not in (4, 5, 8) or not np.isfinite(model.distortion).all():
        raise BadJson(
            f"{path} has no camera_matrix (3x3) with dist_coefs (4, 5 or 8 numbers); download it again"
        ) from None
    return model

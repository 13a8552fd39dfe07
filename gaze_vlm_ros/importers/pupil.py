"""Pupil Core: a recording, or what Pupil Player exports of one.

https://docs.pupil-labs.com/core/developer/recording-format/: world.mp4 with world_timestamps.npy, gaze.pldata (msgpack)
with gaze_timestamps.npy, world.intrinsics (msgpack), info.player.json. Export:
https://docs.pupil-labs.com/core/software/pupil-player/#export, gaze_positions.csv, world.mp4, world_timestamps.csv.
Times are Pupil Time, s of a clock of its own; info.player.json says what it was in Unix time. norm_pos is measured from
the picture's BOTTOM left corner. Eye 0 is the right one.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.importers.eye_events import EYE_UNKNOWN, WORN_UNKNOWN
from gaze_vlm_ros.importers.imported_session import UNDATED_START_NS, CameraModel, ImportedSession, TimedVideo
from gaze_vlm_ros.importers.plausible import require_on_picture
from gaze_vlm_ros.importers.video import LONGEST_TAIL_S, Video, read_video
from gaze_vlm_ros.labels.track import track_from_actions
from gaze_vlm_ros.session.gaze_track import GazeTrack, points_to_px
from gaze_vlm_ros.storage.tables import BadRow, FileMissing, OutOfOrder, read_table, require_file, time_order

INFO, GAZE, EXPORTED = "info.player.json", "gaze.pldata", "gaze_positions.csv"
LEFT_EYE, RIGHT_EYE = 1, 0


class NoMsgpack(GazeVlmError):
    """msgpack is not installed."""


class BadRecording(GazeVlmError):
    """A file of the recording is damaged, or of another version."""


class FramesDiffer(GazeVlmError):
    """The numbers of video frames and times differ."""


def read_pupil(folder: Path, cut: bool = False) -> ImportedSession:
    """Read a recording's folder, or an export's. cut: pair frames and times from the start, however many differ.

    Raises NoMsgpack, FileMissing, BadRecording, WrongColumns, BadRow, OutOfOrder, BadVideo, FramesDiffer, WrongUnit.
    """
    exported = (folder / EXPORTED).is_file()
    if not exported and not (folder / GAZE).is_file():
        raise FileMissing(
            f"{folder} has neither {GAZE} nor {EXPORTED}: expected a recording of Pupil Core, or an export of Pupil "
            "Player (exports/000); recordings of before Pupil v1.16 are opened in Player once, which converts them"
        )
    left_out: Counter[str] = Counter()
    samples = _read_export(folder / EXPORTED) if exported else _read_pldata(folder)
    video = read_video(_video_of(folder))
    frames_s = _frame_times(folder, exported)
    timed_s = _paired(video, frames_s, folder, left_out, cut)
    recording = folder if (folder / INFO).is_file() else folder.parent.parent
    about = _info(recording / INFO)
    # Differences of Pupil Time are kept to its own resolution; only the beginning is rounded.
    zero_s = float(about["start_time_synced_s"]) if about else float(timed_s[0])
    zero_ns = round(float(about["start_time_system_s"]) * 1e9) if about else UNDATED_START_NS
    xy = points_to_px(samples.norm_pos, "normalized_bottom_left", video.size)
    require_on_picture(np.where(samples.confidence[:, None] >= 0.6, xy, np.nan), video.size, samples.path)
    stamps_ns = _stamps(samples.times_s, zero_s, zero_ns)
    order = time_order(stamps_ns, samples.path)
    count = len(order)
    return ImportedSession(
        metadata={
            "session": str(about.get("recording_name") or recording.resolve().name) if about else folder.resolve().name,
            "tracker": "Pupil Core",
            "recording_id": str(about.get("recording_uuid", "")),
        },
        videos=[TimedVideo(video, _stamps(timed_s, zero_s, zero_ns))],
        gaze=GazeTrack(
            stamps_ns[order],
            xy[order],
            samples.confidence[order],
            np.full(count, WORN_UNKNOWN, np.uint8),
            np.full(count, EYE_UNKNOWN, np.uint8),
            video.size,
        ),
        device_ns=np.round(samples.times_s[order] * 1e9).astype(np.int64),
        labels=track_from_actions([], left_out),
        camera=_camera(recording / "world.intrinsics", video.size, left_out),
        pupils_mm=samples.pupils_mm[order],
        left_out=left_out,
    )


class _Samples(NamedTuple):
    path: Path
    times_s: NDArray[np.float64]  # (N,) Pupil Time
    norm_pos: NDArray[np.float64]  # (N, 2)
    confidence: NDArray[np.float64]  # (N,)
    pupils_mm: NDArray[np.float64]  # (N, 2) left, right


def _stamps(times_s: NDArray[np.float64], zero_s: float, zero_ns: int) -> NDArray[np.int64]:
    return zero_ns + np.round((times_s - zero_s) * 1e9).astype(np.int64)


def _msgpack() -> Any:
    try:
        import msgpack
    except ImportError:
        raise NoMsgpack("recordings of Pupil Core need msgpack: pip install msgpack (group pupil)") from None
    return msgpack


def _read_pldata(folder: Path) -> _Samples:
    path, msgpack = folder / GAZE, _msgpack()
    times_s, points, confidence, pupils = [], [], [], []
    try:
        with path.open("rb") as stream:
            for _, packed in msgpack.Unpacker(stream, use_list=True):
                datum = msgpack.unpackb(packed)
                times_s.append(float(datum["timestamp"]))
                points.append([float(datum["norm_pos"][0]), float(datum["norm_pos"][1])])
                confidence.append(float(datum["confidence"]))
                eyes = {eye.get("id"): eye.get("diameter_3d") or np.nan for eye in datum.get("base_data", ())}
                pupils.append([float(eyes.get(eye, np.nan)) for eye in (LEFT_EYE, RIGHT_EYE)])
    except Exception as error:  # msgpack raises many kinds for bytes that are not its own
        raise BadRecording(
            f"{path}: sample {len(times_s) + 1} cannot be read ({type(error).__name__}: {error}); copy it again"
        ) from None
    expected = _npy(folder / "gaze_timestamps.npy")
    if len(expected) != len(times_s):
        raise BadRecording(
            f"{path} holds {len(times_s)} samples and gaze_timestamps.npy {len(expected)}, expected equal numbers; "
            "it is cut: copy the recording again"
        )
    return _samples(path, times_s, points, confidence, pupils)


def _read_export(path: Path) -> _Samples:
    table = read_table(
        path, "gaze_positions.csv of Pupil Player", floats=("gaze_timestamp", "confidence", "norm_pos_x", "norm_pos_y")
    )
    count = len(table.floats["confidence"])
    points = np.stack([table.floats["norm_pos_x"], table.floats["norm_pos_y"]], axis=1)
    return _samples(
        path, table.floats["gaze_timestamp"], points, table.floats["confidence"], np.full((count, 2), np.nan)
    )


def _samples(path: Path, times_s: Any, points: Any, confidence: Any, pupils: Any) -> _Samples:
    if not len(times_s):
        raise BadRow(
            f"{path} holds no sample; calibrate and record again, or detect gaze in Pupil Player and export it"
        )
    if not np.isfinite(times_s).all():
        raise BadRow(f"{path}: sample {int(np.argmin(np.isfinite(times_s))) + 1} has no time; export it again")
    return _Samples(
        path,
        np.array(times_s, np.float64),
        np.array(points, np.float64).reshape(-1, 2),
        np.array(confidence, np.float64),
        np.array(pupils, np.float64).reshape(-1, 2),
    )


def _video_of(folder: Path) -> Path:
    found = [path for name in ("world.mp4", "world.mjpeg", "world.h264") if (path := folder / name).is_file()]
    if not found:
        raise FileMissing(f"{folder} has no world.mp4: expected the scene video; export it from Pupil Player too")
    return found[0]


def _npy(path: Path) -> NDArray[np.float64]:
    require_file(path, "times of a Pupil Core recording, .npy")
    try:
        return np.asarray(np.load(path, allow_pickle=False), np.float64).ravel()
    except (OSError, ValueError, EOFError) as error:
        raise BadRecording(f"{path} cannot be read as an array ({error}); copy the recording again") from None


def _frame_times(folder: Path, exported: bool) -> NDArray[np.float64]:
    if not exported:
        return _npy(folder / "world_timestamps.npy")
    path = folder / "world_timestamps.csv"
    names = ("timestamps [seconds]", "world timestamp [s]")
    table = read_table(path, "world_timestamps.csv of Pupil Player", floats=names, optional=names)
    if not table.floats:
        raise BadRecording(f"{path} has no column {names[0]!r}; export the world video again")
    return next(iter(table.floats.values()))


def _paired(
    video: Video, frames_s: NDArray[np.float64], folder: Path, left_out: Counter[str], cut: bool
) -> NDArray[np.float64]:
    """Return the times of the first frames; those without a partner at the end are left out and counted."""
    count = min(len(video), len(frames_s))
    if not count or (abs(len(video) - len(frames_s)) * video.frame_ns > LONGEST_TAIL_S * 1e9 and not cut):
        raise FramesDiffer(
            f"{folder}: the world video has {len(video)} frames and its times are {len(frames_s)}, expected equal "
            "numbers; copy both again, or give --cut to pair them from the start"
        )
    if np.any(np.diff(frames_s[:count]) < 0) or not np.isfinite(frames_s[:count]).all():
        raise OutOfOrder(f"{folder}: the times of the world video do not rise; copy or export it again")
    left_out["frames without a time"] = len(video) - count
    left_out["times without a frame"] = len(frames_s) - count
    return frames_s[:count]


def _info(path: Path) -> dict[str, Any]:
    """Return the recording's description; {} where there is none, and the bag is undated then."""
    if not path.is_file():
        return {}
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        float(about["start_time_synced_s"]), float(about["start_time_system_s"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadRecording(
            f"{path} has no start_time_synced_s and start_time_system_s ({type(error).__name__}: {error}); "
            "copy it again"
        ) from None
    return dict(about)


def _camera(path: Path, size: tuple[int, int], left_out: Counter[str]) -> CameraModel | None:
    if not path.is_file():
        return None
    try:
        found = _msgpack().unpackb(path.read_bytes())
        entry = found.get(str(size)) or found.get(f"({size[0]}, {size[1]})")
        if entry is None:
            left_out[f"calibration of the scene camera: world.intrinsics has none of {size[0]}x{size[1]} px"] = 1
            return None
        if entry.get("cam_type", "radial") != "radial":
            left_out[f"calibration of the scene camera: its lens model is {entry['cam_type']!r}"] = 1
            return None
        return CameraModel(
            np.array(entry["camera_matrix"], np.float64).reshape(3, 3),
            np.array(entry["dist_coefs"], np.float64).ravel(),
        )
    except NoMsgpack:
        raise
    except Exception as error:
        raise BadRecording(
            f"{path} cannot be read ({type(error).__name__}: {error}); copy the recording again"
        ) from None

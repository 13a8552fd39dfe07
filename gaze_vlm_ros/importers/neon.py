"""Native Neon recordings, as the Companion app writes them: any version that the vendor's reader supports.

Files and types: https://github.com/pupil-labs/pl-neon-recording. Meaning of the streams:
https://docs.pupil-labs.com/neon/data-collection/data-streams/. A recording consists of parts (`… ps1`, `… ps2`) with
gaps between them; parts may be missing, and gaze may have no video. Stamps are the phone's, UTC in ns.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pupil_labs.neon_recording import NeonRecording

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.importers.eye_events import WORN_NO, WORN_UNKNOWN, WORN_YES, Intervals, eye_states
from gaze_vlm_ros.importers.imported_session import CameraModel, ImportedSession, TimedVideo
from gaze_vlm_ros.importers.video import BadVideo, read_video
from gaze_vlm_ros.labels.actions import actions_from_events
from gaze_vlm_ros.labels.track import track_from_actions
from gaze_vlm_ros.neon import recording as neon_recording
from gaze_vlm_ros.neon.vergence import crossing_distance
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.storage.tables import OutOfOrder, time_order

# The 200 Hz gaze has passed through a double, which holds the ns since 1970 to 128; eye states have the exact stamps.
SAME_EYES_NS = 128
TRACKER = "Pupil Labs Neon"


class DamagedRecording(GazeVlmError):
    """A stream of the recording exists but cannot be read."""


class NoSceneVideo(GazeVlmError):
    """The recording has no scene camera frames."""


class OtherFormat(GazeVlmError):
    """The folder is a recording in another format."""


def read_neon(folder: Path, events_as_labels: bool = False) -> ImportedSession:
    """Read a native recording folder. events_as_labels: use its events as actions; otherwise there are no labels.

    Raises NotANeonRecording, OtherFormat, NoSceneVideo, DamagedRecording, OutOfOrder.
    """
    if (folder / "gaze.csv").is_file():
        raise OtherFormat(
            f"{folder} is a Pupil Cloud download (it has gaze.csv), not a native recording: import neon-cloud"
        )
    left_out: Counter[str] = Counter()
    with _warnings(left_out):
        try:
            native = neon_recording.read_recording(folder)
        except NeonRecording.SensorError as error:
            raise _damaged(folder, error) from None
    vendor = NeonRecording(folder)
    videos = _videos(folder, left_out)
    stamps_ns, xy, worn = _gaze(folder, native, vendor, left_out)
    order = time_order(stamps_ns, folder)
    stamps_ns, xy, worn = stamps_ns[order], xy[order], worn[order]
    fixations, saccades, blinks = (
        _intervals(folder, vendor, name, files)
        for name, files in (("fixations", "fixations"), ("saccades", "fixations"), ("blinks", "blinks"))
    )
    pupils_mm, vergence_m = _eyes(folder, vendor, stamps_ns)
    info = native.info
    actions = []
    if events_as_labels and (folder / "event.txt").is_file():
        events = _stream(folder, vendor, "events")
        actions = actions_from_events(events.time.tolist(), [str(name) for name in events.event], left_out)
    return ImportedSession(
        metadata={
            "session": folder.resolve().name,
            "person": str(info.get("wearer_id", "")),
            "tracker": TRACKER,
            "tracker_serial": str(info.get("module_serial_number", "")),
            "recording_id": str(info.get("recording_id", "")),
        },
        videos=videos,
        gaze=GazeTrack(
            stamps_ns,
            xy.astype(np.float64),
            np.full(len(stamps_ns), np.nan),
            worn,
            eye_states(stamps_ns, fixations, saccades, blinks),
            videos[0].video.size,
        ),
        device_ns=stamps_ns,
        labels=track_from_actions(actions, left_out),
        imu=native.imu if len(native.imu.stamps_ns) else None,
        camera=_camera(folder, vendor),
        pupils_mm=pupils_mm,
        vergence_m=vergence_m,
        left_out=left_out,
    )


@contextmanager
def _warnings(left_out: Counter[str]) -> Iterator[None]:
    """Count what the reader leaves out in `left_out` instead of logging it."""

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if isinstance(record.args, tuple) and str(record.args[0]).startswith(neon_recording.SCENE_CAMERA):
                return  # _videos reads the scene video and counts its losses
            left_out[f"part of the recording: {record.getMessage().removeprefix('leaving out ')}"] += 1

    collector = Collector(logging.WARNING)
    propagates = neon_recording.logger.propagate
    neon_recording.logger.addHandler(collector)
    neon_recording.logger.propagate = False
    try:
        yield
    finally:
        neon_recording.logger.removeHandler(collector)
        neon_recording.logger.propagate = propagates


def _damaged(folder: Path, error: Exception) -> DamagedRecording:
    cause = error.__cause__ or error
    return DamagedRecording(
        f"{folder}: {error} ({type(cause).__name__}: {cause}); to import the rest, remove this stream's files from "
        "a copy of the folder"
    )


def _stream(folder: Path, vendor: NeonRecording, name: str) -> Any:
    try:
        return getattr(vendor, name)
    except NeonRecording.SensorError as error:
        raise _damaged(folder, error) from None


def _parts(folder: Path, stem: str, suffix: str) -> list[Path]:
    """Return the files `stem psN.suffix` in the order of N."""
    parts = [path for path in folder.glob(f"{stem} ps*{suffix}") if path.stem.rpartition(" ps")[2].isdigit()]
    return sorted(parts, key=lambda path: int(path.stem.rpartition(" ps")[2]))


def _videos(folder: Path, left_out: Counter[str]) -> list[TimedVideo]:
    videos: list[TimedVideo] = []
    for path in _parts(folder, neon_recording.SCENE_CAMERA, ".mp4"):
        time_file = path.with_suffix(".time")
        try:
            video = read_video(path)
        except BadVideo as error:
            left_out[f"part of the scene video: {error}"] = 1
            continue
        if not time_file.is_file():
            left_out[f"frames of {path.name}, because {time_file.name} is missing"] = len(video)
            continue
        stamps_ns = np.fromfile(time_file, "<i8")
        if np.any(np.diff(stamps_ns) < 0):
            raise OutOfOrder(f"{time_file}: time goes back from one frame to the next, expected rising times")
        count = min(len(video), len(stamps_ns))
        left_out[f"frames of {path.name} without a time"] += len(video) - count
        left_out[f"times in {time_file.name} without a frame"] += len(stamps_ns) - count
        if videos and video.size != videos[0].video.size:
            left_out[f"frames of {path.name}, because they differ in size from the first part's"] = count
        elif count:
            videos.append(TimedVideo(video, stamps_ns[:count]))
    if not videos:
        reasons = "; ".join(reason for reason, count in left_out.items() if count)
        raise NoSceneVideo(
            f"{folder} has no frames of the scene camera ('{neon_recording.SCENE_CAMERA} ps1.mp4' with its .time)"
            + (f": {reasons}" if reasons else "; copy the whole recording")
        )
    return sorted(videos, key=lambda timed: int(timed.stamps_ns[0]))


def _gaze(
    folder: Path, native: neon_recording.NativeRecording, vendor: NeonRecording, left_out: Counter[str]
) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[np.uint8]]:
    """Return stamps, points and worn of the 200 Hz gaze computed afterwards, or of the live gaze if there is none."""
    if not ((folder / "gaze_200hz.raw").is_file() and (folder / "gaze_200hz.time").is_file()):
        _count_unused(_parts(folder, "gaze", ".time"), len(native.gaze.stamps_ns), left_out)
        worn = np.where(native.gaze.worn, WORN_YES, WORN_NO).astype(np.uint8)
        return native.gaze.stamps_ns, native.gaze.xy_px, worn
    gaze = _stream(folder, vendor, "gaze")
    stamps_ns, points = np.asarray(gaze.time, np.int64), np.asarray(gaze.point, np.float64)
    _count_unused([folder / "gaze_200hz.time"], len(stamps_ns), left_out)
    worn = np.full(len(stamps_ns), WORN_UNKNOWN, np.uint8)
    if (folder / "worn_200hz.raw").is_file():
        raw = np.fromfile(folder / "worn_200hz.raw", np.uint8)[: len(stamps_ns)]
        worn[: len(raw)] = np.where(raw == neon_recording.WORN, WORN_YES, WORN_NO)
    if any(folder.glob("gaze ps*.raw")):
        left_out["gaze samples of the live estimate, replaced by the 200 Hz gaze"] = len(native.gaze.stamps_ns)
    return stamps_ns, points, worn


def _count_unused(time_files: list[Path], used: int, left_out: Counter[str]) -> None:
    # An interrupted recording has one row more in one of its files.
    left_out["times of gaze without a sample"] += sum(file.stat().st_size // 8 for file in time_files) - used


def _camera(folder: Path, vendor: NeonRecording) -> CameraModel | None:
    try:
        calibration = vendor.calibration
    except (IndexError, ValueError) as error:
        raise DamagedRecording(
            f"{folder / 'calibration.bin'} cannot be read ({error}); copy it again, or remove it from a copy of the "
            "folder"
        ) from None
    if calibration is None:
        return None
    return CameraModel(
        np.array(calibration.scene_camera_matrix, np.float64).reshape(3, 3),
        np.array(calibration.scene_distortion_coefficients, np.float64).ravel(),
    )


def _eyes(
    folder: Path, vendor: NeonRecording, stamps_ns: NDArray[np.int64]
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Return diameters of the pupils (N, 2), mm, and vergence distances (N,), m, of the samples at `stamps_ns`.

    NaN where no eye state is of the same eye images; None where the recording has no eye states.
    """
    if not (_parts(folder, "eye_state", ".raw") and len(stamps_ns)):
        return None, None
    pupils, eyes = _stream(folder, vendor, "pupil"), _stream(folder, vendor, "eyeball")
    times_ns = np.asarray(pupils.time, np.int64)
    if not len(times_ns):
        return None, None
    last = len(times_ns) - 1
    after = np.searchsorted(times_ns, stamps_ns)
    before, after = np.maximum(after - 1, 0), np.minimum(after, last)
    near = np.where(np.abs(stamps_ns - times_ns[before]) <= np.abs(times_ns[after] - stamps_ns), before, after)
    same = np.abs(times_ns[near] - stamps_ns) <= SAME_EYES_NS
    mm = np.stack([pupils.diameter_left, pupils.diameter_right], axis=1).astype(np.float64)
    left, right = (eyes.center_left, eyes.optical_axis_left), (eyes.center_right, eyes.optical_axis_right)
    crossing_mm = crossing_distance(*left, *right)
    return np.where(same[:, None], mm[near], np.nan), np.where(same, crossing_mm[near] / 1000, np.nan)


def _intervals(folder: Path, vendor: NeonRecording, name: str, files: str) -> Intervals | None:
    if not _parts(folder, files, ".raw"):
        return None
    events = _stream(folder, vendor, name)
    return Intervals(np.asarray(events.start_time, np.int64), np.asarray(events.stop_time, np.int64))

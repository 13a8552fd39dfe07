"""Project Aria, Gen 1 and Gen 2: a recording (VRS) with the eye gaze of its Machine Perception Services.

Gaze: https://facebookresearch.github.io/projectaria_tools/docs/data_formats/mps/mps_eye_gaze, one direction a sample
from between the eyes, in each layout that the tools have written. projectaria-tools reads it and projects it into the
colour camera through the recording's own calibration. Stamps are the device's clock, which starts at its power-on, from
1970-01-02 on: pictures and gaze keep their distances to the nanosecond and microsecond that they have.
"""

from __future__ import annotations

import os
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.importers.eye_events import EYE_UNKNOWN, WORN_UNKNOWN
from gaze_vlm_ros.importers.imported_session import UNDATED_START_NS, ImportedSession, TimedVideo
from gaze_vlm_ros.importers.vrs_video import CAMERA, VrsVideo, quiet
from gaze_vlm_ros.labels.track import track_from_actions
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.storage.tables import BadRow, FileMissing, WrongColumns, read_table, time_order

# A direction alone has no point: where the eyes' distance to it is not known, it is taken at this distance. That of the
# tools. Between 0.5 m and infinity the camera, 4 cm beside the eyes, sees it move by some 40 px of 1408.
DISTANCE_M = 1.0
# Personalized gaze was calibrated on the wearer. The last two are names of earlier versions.
NAMES = ("personalized_eye_gaze.csv", "general_eye_gaze.csv", "generalized_eye_gaze.csv", "eyegaze.csv")
FARTHEST_NS = 1_000_000_000  # of a recording's gaze from its pictures: they start and end within a second
TIME_US, PITCH = "tracking_timestamp_us", "pitch_rads_cpf"
YAW, LEFT_YAW, RIGHT_YAW, DEPTH = "yaw_rads_cpf", "left_yaw_rads_cpf", "right_yaw_rads_cpf", "depth_m"


class SeveralRecordings(GazeVlmError):
    """The folder holds more than one recording."""


class WrongDistance(GazeVlmError):
    """The distance of gaze is none."""


class OtherRecording(GazeVlmError):
    """The gaze is of another time than the recording's pictures."""


def read_aria(source: Path, gaze: Path | None = None, distance_m: float | None = None) -> ImportedSession:
    """Read a recording: a .vrs file, or the folder that holds it.

    gaze: CSV of the Machine Perception Services; None = where these leave it, personalized before general. distance_m:
    of a gaze point whose distance the file does not give; None = DISTANCE_M. Raises NoAriaTools, FileMissing,
    SeveralRecordings, BadVideo, NoCalibration, WrongColumns, BadRow, OutOfOrder, OtherRecording, WrongDistance.
    """
    distance_m = DISTANCE_M if distance_m is None else distance_m
    if not 0 < distance_m < 1000:
        raise WrongDistance(f"the distance of gaze is {distance_m:g} m, expected more than 0 and less than 1000")
    recording = _recording(source)
    gaze = gaze or _gaze_of(recording)
    video = VrsVideo(recording)
    left_out: Counter[str] = Counter()
    device_ns, xy, measured_m = _read_gaze(gaze, video, distance_m)
    order = time_order(device_ns, gaze)
    device_ns, xy, measured_m = device_ns[order], xy[order], measured_m[order]
    count = len(device_ns)
    if device_ns[0] > video.device_ns[-1] + FARTHEST_NS or device_ns[-1] < video.device_ns[0] - FARTHEST_NS:
        raise OtherRecording(
            f"{gaze} runs from {device_ns[0] / 1e9:.3f} to {device_ns[-1] / 1e9:.3f} s, and the pictures of "
            f"{recording.name} from {video.device_ns[0] / 1e9:.3f} to {video.device_ns[-1] / 1e9:.3f} s of the "
            "device's clock; give the gaze of this recording"
        )
    about = video.provider.get_metadata()
    return ImportedSession(
        metadata={
            "session": recording.parent.name if recording.stem in ("recording", "video", "data") else recording.stem,
            "tracker": f"Project Aria {video.calibration.get_device_version().name}",
            "tracker_serial": str(about.device_serial) if about else "",
            "gaze_file": gaze.name,
            "gaze_distance": _distance_text(measured_m, distance_m),
            "camera_model": _camera_text(video.camera),
        },
        videos=[TimedVideo(video, UNDATED_START_NS + video.device_ns)],
        gaze=GazeTrack(
            UNDATED_START_NS + device_ns,
            xy,
            np.full(count, np.nan),
            np.full(count, WORN_UNKNOWN, np.uint8),
            np.full(count, EYE_UNKNOWN, np.uint8),
            video.size,
        ),
        device_ns=device_ns,
        vergence_m=measured_m,
        labels=track_from_actions([], left_out),
        left_out=left_out,
    )


def _recording(source: Path) -> Path:
    if source.is_file():
        return source
    found = sorted(path for folder in (source, source / "data") for path in folder.glob("*.vrs"))
    if not found:
        raise FileMissing(f"{source} holds no .vrs: expected a recording of Project Aria")
    if len(found) > 1:
        raise SeveralRecordings(
            f"{source} holds {len(found)} recordings ({', '.join(path.name for path in found[:5])}); give one of them"
        )
    return found[0]


def _gaze_of(recording: Path) -> Path:
    """Return the best gaze file near a recording: beside it, or where the services and data sets put it."""
    folders = [
        place / part
        for place in (recording.parent, recording.parent.parent)
        for part in (f"mps_{recording.stem}_vrs/eye_gaze", "mps/eye_gaze", "eye_gaze", "")
        if part or place == recording.parent
    ]
    for name in NAMES:
        for folder in folders:
            if (folder / name).is_file():
                return folder / name
    shown = ", ".join(dict.fromkeys(os.path.relpath(folder, recording.parent) for folder in folders))
    raise FileMissing(
        f"no gaze of {recording}: expected {' or '.join(NAMES[:2])} in one of {shown}, from its folder; request it "
        "from the Machine Perception Services, or give it with --gaze"
    )


def _read_gaze(
    path: Path, video: VrsVideo, distance_m: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return times (N,) on the device's clock, ns; points (N, 2), px of the upright picture; distances (N,), m.

    A point is NaN where the camera does not see it; a distance where the file gives none.
    """
    from projectaria_tools.core import mps
    from projectaria_tools.core.calibration import rotate_camera_calib_cw90deg
    from projectaria_tools.core.mps.utils import get_gaze_vector_reprojection

    # Read here too, because the tools pass over what they cannot read.
    optional = (YAW, LEFT_YAW, RIGHT_YAW, DEPTH)
    table = read_table(
        path, "eye gaze of Project Aria's Machine Perception Services", ints=(TIME_US,), floats=(PITCH, *optional),
        optional=optional,
    )  # fmt: skip
    if not (YAW in table.floats or {LEFT_YAW, RIGHT_YAW} <= table.floats.keys()):
        raise WrongColumns(f"{path} has neither column {YAW!r} nor {LEFT_YAW!r} and {RIGHT_YAW!r}; request it again")
    times_us = table.ints[TIME_US]
    if not len(times_us):
        raise BadRow(f"{path} holds no sample; request the gaze again, or choose another file with --gaze")
    try:
        with quiet():
            samples: list[Any] = mps.read_eyegaze(str(path))
    except (RuntimeError, ValueError) as error:
        raise WrongColumns(f"{path} is a layout of gaze that projectaria-tools does not read ({error})") from None
    if [sample.tracking_timestamp // timedelta(microseconds=1) for sample in samples] != times_us.tolist():
        raise BadRow(
            f"{path}: projectaria-tools reads {len(samples)} of its {len(times_us)} samples; request the gaze again"
        )
    camera = rotate_camera_calib_cw90deg(video.camera) if video.turned else video.camera
    xy, measured_m = np.full((len(samples), 2), np.nan), np.full(len(samples), np.nan)
    for row, sample in enumerate(samples):
        if sample.depth > 0:
            measured_m[row] = sample.depth
        point = get_gaze_vector_reprojection(
            sample, CAMERA, video.calibration, camera, sample.depth if sample.depth > 0 else distance_m, video.turned
        )
        if point is not None:
            xy[row] = point
    return times_us * 1000, xy, measured_m


def _distance_text(measured_m: NDArray[np.float64], distance_m: float) -> str:
    known = np.count_nonzero(np.isfinite(measured_m))
    return f"measured for {known} of {len(measured_m)} samples, else {distance_m:g} m"


def _camera_text(camera: Any) -> str:
    """The calibration of the stored picture: no CameraInfo can carry its model."""
    numbers = " ".join(f"{number:.9g}" for number in camera.get_projection_params())
    return f"{str(camera.get_model_name()).rpartition('.')[2]} of the stored picture: {numbers}"

"""Write frames, gaze, labels and IMU samples of an imported session to a training bag, in the order of time."""

from __future__ import annotations

import contextlib
import heapq
import math
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from gaze_vlm_ros.bags.message_types import message_class
from gaze_vlm_ros.bags.roles import GAZE_TYPE, LABEL_TYPE
from gaze_vlm_ros.bags.stamps import split_ns
from gaze_vlm_ros.bags.writer import BagNotWritable, BagWriter
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.importers.import_summary import ImportSummary, summarize_import
from gaze_vlm_ros.importers.imported_session import CameraModel, ImportedSession
from gaze_vlm_ros.importers.video import BadVideo
from gaze_vlm_ros.labels.track import LabelTrack
from gaze_vlm_ros.neon.recording import ImuSamples
from gaze_vlm_ros.session.span import require_one_session
from gaze_vlm_ros.video.images import RGB, encode_jpeg

CAMERA, CAMERA_INFO, GAZE, LABEL, IMU = (
    "/camera/image_raw/compressed", "/camera/camera_info", "/gaze", "/label", "/imu"
)  # fmt: skip
FRAME_ID, IMU_FRAME_ID = "scene_camera_optical_frame", "neon_imu"  # as the eye_tracker node's
STANDARD_GRAVITY_M_S2 = 9.80665
IMPORT_RECORD = "gaze_vlm_import"  # record in the bag: what was left out, by reason


class BadFrameSize(GazeVlmError):
    """Frames cannot be shrunk to this size."""


class BadRate(GazeVlmError):
    """The highest frame rate is not a rate."""


class BadStamps(GazeVlmError):
    """A time is outside the range of ROS time."""


def write_session(
    session: ImportedSession,
    out: Path,
    *,
    max_rate_hz: float = 0.0,  # frames above this rate are left out; 0 = keep all
    size: tuple[int, int] | None = None,  # (width, height) to shrink frames to; None = as they are
    progress: bool = True,
) -> ImportSummary:
    """Write the bag `out` with the recorder's topics and JPEG frames of quality 90. One frame is in memory at a time.

    Gaze keeps its coordinates and the size of the image that they refer to. An unfinished bag is removed.
    Raises BadFrameSize, BadRate, BadStamps, NotOneSession, BadVideo, BagExists, BagNotWritable.
    """
    original = session.videos[0].video.size
    size = size or original
    if not all(0 < chosen <= there for chosen, there in zip(size, original, strict=True)):
        raise BadFrameSize(
            f"the frame size is {size[0]}x{size[1]} px, expected more than 0 and at most the video's "
            f"{original[0]}x{original[1]}"
        )
    if not max_rate_hz >= 0 or math.isinf(max_rate_hz):
        raise BadRate(f"the highest frame rate is {max_rate_hz} Hz, expected 0 (keep all) or more")
    stamps_ns = np.concatenate([timed.stamps_ns for timed in session.videos])
    _require_ros_times(session, stamps_ns)
    kept = thinned(stamps_ns, max_rate_hz)
    left_out = Counter(session.left_out)
    left_out[f"frames above {max_rate_hz:g} Hz"] = int((~kept).sum())
    writer = BagWriter(out, {"camera_topic": CAMERA, "gaze_topic": GAZE, "label_topic": LABEL, **session.metadata})
    written_ns: list[int] = []
    try:
        _add_topics(writer, session)
        with tqdm(total=int(kept.sum()), desc="frames", unit="frame", mininterval=0.5, disable=not progress) as bar:
            # At equal times, labels and gaze samples come before the frame.
            streams = (_labels(session.labels), _gaze(session), _imu(session.imu), _frames(session, kept, size))
            for stamp_ns, topic, message in heapq.merge(*streams, key=lambda item: item[0]):
                writer.write_message(topic, message, stamp_ns)
                if topic == CAMERA:
                    written_ns.append(stamp_ns)
                    bar.update()
        if not written_ns:
            raise BadVideo(
                f"{session.videos[0].video.path}: none of its {len(stamps_ns)} frames decodes; copy it again"
            )
        left_out["frames that do not decode"] = int(kept.sum()) - len(written_ns)
        writer.add_record(IMPORT_RECORD, {reason: str(count) for reason, count in left_out.items() if count})
        writer.close()
    except BaseException as error:
        with contextlib.suppress(OSError):  # a full disk does not take the last bytes either
            writer.discard()
        shutil.rmtree(out, ignore_errors=True)
        if isinstance(error, OSError):
            raise BagNotWritable(f"cannot write a bag to {out}: {error.strerror}; give another place") from None
        raise
    return summarize_import(session, out, size, written_ns, left_out)


def _require_ros_times(session: ImportedSession, frames_ns: NDArray[np.int64]) -> None:
    imu_ns = session.imu.stamps_ns if session.imu is not None else np.empty(0, np.int64)
    streams = {"frames": frames_ns, "gaze": session.gaze.stamps_ns, "labels": session.labels.starts_ns, "imu": imu_ns}
    for name, stamps_ns in streams.items():
        if len(stamps_ns) and not 0 <= stamps_ns.min() <= stamps_ns.max() < 2**31 * 1_000_000_000:
            raise BadStamps(
                f"the times of {name} run from {stamps_ns.min()} to {stamps_ns.max()} ns, expected ns since 1970 and "
                "before 2038, as ROS has them; give the files as they were recorded"
            )
    frames_ns = streams.pop("frames")
    require_one_session(session.videos[0].video.path, frames_ns, streams)


def thinned(stamps_ns: NDArray[np.int64], max_rate_hz: float) -> NDArray[np.bool_]:
    """(N,) which of the ascending frames to keep, so that there are at most max_rate_hz of them a second; 0 = all."""
    if not max_rate_hz:
        return np.ones(len(stamps_ns), np.bool_)
    period_ns = 1e9 / max_rate_hz
    kept = np.zeros(len(stamps_ns), np.bool_)
    due_ns = -math.inf
    for index, stamp_ns in enumerate(stamps_ns.tolist()):
        if stamp_ns >= due_ns:
            kept[index] = True
            # On a grid, so that 30 Hz with jitter gives 10 Hz and not 7.5; after a gap a new grid starts.
            due_ns = due_ns + period_ns if stamp_ns - due_ns < period_ns else stamp_ns + period_ns
    return kept


def _add_topics(writer: BagWriter, session: ImportedSession) -> None:
    writer.add_topic(CAMERA, "sensor_msgs/msg/CompressedImage")
    writer.add_topic(GAZE, GAZE_TYPE)
    writer.add_topic(LABEL, LABEL_TYPE)
    if session.camera is not None:
        writer.add_topic(CAMERA_INFO, "sensor_msgs/msg/CameraInfo")
    if session.imu is not None:
        writer.add_topic(IMU, "sensor_msgs/msg/Imu")


_Stamped = Iterator[tuple[int, str, Any]]  # (stamp ns, topic, message)


def _time(stamp_ns: int) -> Any:
    return message_class("builtin_interfaces/msg/Time")(*split_ns(stamp_ns))


def _header(stamp_ns: int, frame_id: str) -> Any:
    return message_class("std_msgs/msg/Header")(_time(stamp_ns), frame_id)


def _frames(session: ImportedSession, kept: NDArray[np.bool_], size: tuple[int, int]) -> _Stamped:
    image_class = message_class("sensor_msgs/msg/CompressedImage")
    original = session.videos[0].video.size
    first = 0
    for timed in session.videos:
        count = len(timed.stamps_ns)
        chosen = np.zeros(len(timed.video), np.bool_)
        chosen[:count] = kept[first : first + count]
        first += count
        for number, rgb in timed.video.frames(chosen, size):
            stamp_ns = int(timed.stamps_ns[number])
            header = _header(stamp_ns, FRAME_ID)
            if session.camera is not None:
                yield stamp_ns, CAMERA_INFO, _camera_info(session.camera, header, original, size)
            yield stamp_ns, CAMERA, image_class(header, "rgb8; jpeg compressed bgr8", _jpeg(rgb))


def _jpeg(rgb: RGB) -> NDArray[np.uint8]:
    return np.frombuffer(encode_jpeg(rgb), np.uint8)


def _camera_info(camera: CameraModel, header: Any, original: tuple[int, int], size: tuple[int, int]) -> Any:
    scale_x, scale_y = (new / old for new, old in zip(size, original, strict=True))
    # Pixel centres have integer coordinates, so the image starts at -0.5.
    to_size = np.array([[scale_x, 0, 0.5 * scale_x - 0.5], [0, scale_y, 0.5 * scale_y - 0.5], [0, 0, 1]])
    matrix = to_size @ camera.matrix
    return message_class("sensor_msgs/msg/CameraInfo")(
        header,
        size[1],
        size[0],
        "rational_polynomial" if len(camera.distortion) == 8 else "plumb_bob",
        np.asarray(camera.distortion, np.float64),
        matrix.ravel(),
        np.eye(3).ravel(),
        np.hstack([matrix, np.zeros((3, 1))]).ravel(),
        0,
        0,
        message_class("sensor_msgs/msg/RegionOfInterest")(0, 0, 0, 0, False),
    )


def _gaze(session: ImportedSession) -> _Stamped:
    gaze_class, gaze = message_class(GAZE_TYPE), session.gaze
    unknown = np.full((len(gaze), 2), np.nan)
    pupils_mm = unknown if session.pupils_mm is None else session.pupils_mm
    vergence_m = unknown[:, 0] if session.vergence_m is None else session.vergence_m
    columns = (
        gaze.stamps_ns, gaze.xy, gaze.confidence, gaze.worn, gaze.eye_state, session.device_ns, pupils_mm, vergence_m
    )  # fmt: skip
    for stamp_ns, (x, y), confidence, worn, eye_state, device_ns, pupils, vergence in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        header, device_stamp = _header(stamp_ns, FRAME_ID), _time(device_ns)
        yield stamp_ns, GAZE, gaze_class(
            header, x, y, *gaze.image_size, confidence, worn, eye_state, device_stamp, *pupils, vergence
        )  # fmt: skip


def _labels(labels: LabelTrack) -> _Stamped:
    label_class = message_class(LABEL_TYPE)
    for stamp_ns, *words in zip(
        labels.starts_ns.tolist(), labels.texts, labels.verbs, labels.object_classes, strict=True
    ):
        yield stamp_ns, LABEL, label_class(_header(stamp_ns, ""), *words)


def _imu(imu: ImuSamples | None) -> _Stamped:
    """Yield IMU messages in SI units and the sensor's axes. Covariances by REP-145: 0 = unknown, -1 = no estimate."""
    if imu is None:
        return
    imu_class, vector_class, quaternion_class = (
        message_class(name)
        for name in ("sensor_msgs/msg/Imu", "geometry_msgs/msg/Vector3", "geometry_msgs/msg/Quaternion")
    )
    unknown, no_estimate = np.zeros(9), np.array([-1.0] + [0.0] * 8)
    velocities, accelerations = np.radians(imu.angular_velocity_deg_s), imu.acceleration_g * STANDARD_GRAVITY_M_S2
    for stamp_ns, rotation, velocity, acceleration in zip(
        imu.stamps_ns.tolist(), imu.quaternion_xyzw, velocities.tolist(), accelerations.tolist(), strict=True
    ):
        norm = float(np.linalg.norm(rotation))
        settled = abs(norm - 1) < 0.1  # all zeros before the sensor's fusion has settled
        yield stamp_ns, IMU, imu_class(
            _header(stamp_ns, IMU_FRAME_ID),
            quaternion_class(*(rotation / norm).tolist()) if settled else quaternion_class(0.0, 0.0, 0.0, 1.0),
            unknown if settled else no_estimate,
            vector_class(*velocity), unknown, vector_class(*acceleration), unknown,
        )  # fmt: skip

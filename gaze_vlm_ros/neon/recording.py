"""Read a Neon recording in its native folder format, as the Companion app writes it.

A recording is cut into parts (`… ps1`, `… ps2`); a folder may hold only some of them, gaze without video, or gaze that
starts after the video. Whatever is there is read, in time order. Stamps are int64 ns on the phone's clock (Unix epoch).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.video.h264 import parse_avcc, split_nal_units
from gaze_vlm_ros.video.video_file import require_upright

logger = logging.getLogger(__name__)

WORN = 255  # the value in worn*.raw of a sample taken while the glasses are on a head
SCENE_CAMERA = "Neon Scene Camera v1"
EYE_CAMERAS = "Neon Sensor Module v1"  # both eyes side by side


class NotANeonRecording(GazeVlmError):
    """The folder holds no native Neon recording, or one without any scene video or gaze."""


@dataclass(frozen=True)
class VideoPart:
    """One mp4 of a camera, with the acquisition time of each of its frames."""

    path: Path
    stamps_ns: npt.NDArray[np.int64]
    parameter_sets: tuple[bytes, ...]  # SPS and PPS of the H.264 stream, without start codes
    nal_length_bytes: int  # of the length in front of each NAL unit in the mp4 (ISO/IEC 14496-15)

    def access_units(self) -> Iterator[tuple[int, bool, list[bytes]]]:
        """Yield (stamp_ns, is_keyframe, NAL units without start codes) of each frame, undecoded, one at a time."""
        with av.open(str(self.path)) as container:
            packets = (packet for packet in container.demux(container.streams.video[0]) if packet.size)
            for stamp_ns, packet in zip(self.stamps_ns.tolist(), packets, strict=False):
                yield stamp_ns, packet.is_keyframe, split_nal_units(bytes(packet), self.nal_length_bytes)


@dataclass(frozen=True)
class GazeSamples:
    """Gaze as the app estimated it: pixels of the scene image."""

    stamps_ns: npt.NDArray[np.int64]  # (N,)
    xy_px: npt.NDArray[np.float32]  # (N, 2)
    worn: npt.NDArray[np.bool_]  # (N,)
    eye_state: dict[int, npt.NDArray[np.float32]]  # stamp_ns -> 14 or 20 values in the order of the live stream


@dataclass(frozen=True)
class ImuSamples:
    """Inertial samples in the app's units."""

    stamps_ns: npt.NDArray[np.int64]  # (N,)
    acceleration_g: npt.NDArray[np.float64]  # (N, 3), +1 along up at rest
    angular_velocity_deg_s: npt.NDArray[np.float64]  # (N, 3)
    quaternion_xyzw: npt.NDArray[np.float64]  # (N, 4), pose of the sensor in the world: z up, y magnetic north


@dataclass(frozen=True)
class NativeRecording:
    """What a native recording folder holds; streams that it lacks are empty."""

    folder: Path
    info: dict[str, Any]
    calibration: bytes | None  # calibration.bin as it is
    video: tuple[VideoPart, ...]
    gaze: GazeSamples
    imu: ImuSamples
    eyes: tuple[VideoPart, ...] = ()

    def sound(self) -> Iterator[tuple[int, bytes]]:
        """Yield (stamp_ns, AAC access unit) of the sound tracks, undecoded; nothing where there is none."""
        for part in self.video:
            with av.open(str(part.path)) as container:
                if not container.streams.audio or not len(part.stamps_ns):
                    continue
                track, video = container.streams.audio[0], container.streams.video[0]
                assert track.time_base is not None
                assert video.time_base is not None
                begins_s = float((video.start_time or 0) * video.time_base)
                for packet in container.demux(track):
                    if packet.size and packet.pts is not None:
                        since_s = float(packet.pts * track.time_base) - begins_s
                        yield int(part.stamps_ns[0]) + round(since_s * 1e9), bytes(packet)

    def sound_format(self) -> tuple[int, bytes] | None:
        """(sample rate in Hz, AudioSpecificConfig) of the sound; None where there is none."""
        for part in self.video:
            with av.open(str(part.path)) as container:
                for track in container.streams.audio:
                    if track.codec_context.name == "aac" and track.codec_context.extradata:
                        return track.codec_context.sample_rate, bytes(track.codec_context.extradata[:2])
        return None

    @property
    def frame_stamps_ns(self) -> npt.NDArray[np.int64]:
        """Acquisition times of all scene frames, (N,)."""
        return np.concatenate([np.empty(0, np.int64), *(part.stamps_ns for part in self.video)])

    @property
    def span_ns(self) -> tuple[int, int]:
        """First and last stamp of scene video, gaze or motion."""
        stamps = np.concatenate([self.frame_stamps_ns, self.gaze.stamps_ns, self.imu.stamps_ns])
        return int(stamps.min()), int(stamps.max())


def read_recording(folder: Path) -> NativeRecording:
    """Read all but the video data of a native recording folder.

    Raises NotANeonRecording when it has no info.json, or neither scene video nor gaze; TurnedVideo when the scene video
    is to be turned or mirrored for display.
    """
    folder = Path(folder)
    try:
        info = json.loads((folder / "info.json").read_text())
    except FileNotFoundError:
        raise NotANeonRecording(
            f"{folder} is no native Neon recording: it has no info.json; give the folder that the Companion app wrote"
        ) from None
    except (OSError, ValueError) as error:
        raise NotANeonRecording(f"{folder / 'info.json'} cannot be read as JSON: {error}") from None
    calibration = folder / "calibration.bin"
    recording = NativeRecording(
        folder=folder,
        info=info,
        calibration=calibration.read_bytes() if calibration.is_file() else None,
        video=tuple(_video_parts(folder, SCENE_CAMERA)),
        eyes=tuple(_video_parts(folder, EYE_CAMERAS)),
        gaze=_read_gaze(folder),
        imu=_read_imu(folder),
    )
    if not recording.video and not recording.gaze.stamps_ns.size:
        raise NotANeonRecording(f"{folder} has neither '{SCENE_CAMERA} ps1.mp4' nor 'gaze ps1.raw'")
    return recording


def _parts(folder: Path, stem: str, suffix: str) -> list[Path]:
    """Files `stem psN.suffix` in the order of N."""
    parts = [path for path in folder.glob(f"{stem} ps*{suffix}") if path.stem.rpartition(" ps")[2].isdigit()]
    return sorted(parts, key=lambda path: int(path.stem.rpartition(" ps")[2]))


def _stamps(path: Path) -> npt.NDArray[np.int64]:
    return np.fromfile(path, "<i8")


def _video_parts(folder: Path, camera: str) -> Iterator[VideoPart]:
    for path in _parts(folder, camera, ".mp4"):
        time_file = path.with_suffix(".time")
        try:
            stamps_ns = _stamps(time_file)
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                extradata = stream.codec_context.extradata
                if stream.codec_context.name != "h264" or not extradata or extradata[0] != 1:
                    raise ValueError(f"codec {stream.codec_context.name}, expected H.264 with its parameter sets")
            if camera == SCENE_CAMERA:  # gaze is not on the picture of the eyes
                require_upright(path)
        except (OSError, av.FFmpegError, IndexError, ValueError) as error:
            logger.warning("leaving out %s: %s", path.name, error)
            continue
        yield VideoPart(path, stamps_ns, *parse_avcc(extradata))


def _read_raw(path: Path, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Rows of a .raw file; newer recordings give their columns in a .dtype file beside it, which then wins."""
    from pupil_labs.neon_recording.timeseries.array_record import Array

    return np.asarray(Array(path, fallback_dtype=dtype))


def _columns(rows: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return np.stack([rows[name] for name in rows.dtype.names or ()], axis=1).astype(np.float32)


def _read_gaze(folder: Path) -> GazeSamples:
    """Gaze as it was estimated live, part by part; where that is missing, the 200 Hz gaze that was computed later."""
    sources = [
        (path, path.with_suffix(".time"), f"worn {path.stem.split()[-1]}.raw")
        for path in _parts(folder, "gaze", ".raw")
    ]
    if not sources and (folder / "gaze_200hz.raw").is_file():
        sources = [(folder / "gaze_200hz.raw", folder / "gaze_200hz.time", "worn_200hz.raw")]
    stamps, points, worn = [np.empty(0, np.int64)], [np.empty((0, 2), np.float32)], [np.empty(0, np.bool_)]
    for raw_file, time_file, worn_name in sources:
        if not time_file.is_file():
            logger.warning("leaving out %s: %s is missing", raw_file.name, time_file.name)
            continue
        part_stamps = _stamps(time_file)
        part_points = _columns(_read_raw(raw_file, [("x", "<f4"), ("y", "<f4")]))
        count = min(len(part_stamps), len(part_points))  # a part that was cut off has one row more in one of its files
        worn_file = folder / worn_name
        part_worn = np.ones(count, np.bool_)  # older apps did not write it
        if worn_file.is_file():
            part_worn = np.fromfile(worn_file, np.uint8)[:count] == WORN
            count = min(count, len(part_worn))
        stamps.append(part_stamps[:count])
        points.append(part_points[:count])
        worn.append(part_worn[:count])
    return GazeSamples(np.concatenate(stamps), np.concatenate(points), np.concatenate(worn), _read_eye_state(folder))


def _read_eye_state(folder: Path) -> dict[int, npt.NDArray[np.float32]]:
    """Pupils, eyeballs and, in newer recordings, eyelids, by the stamp of the gaze sample that they came with."""
    names = [
        f"{what}_{side}"
        for side in ("left", "right")
        for what in ("pupil", "center_x", "center_y", "center_z", "axis_x", "axis_y", "axis_z")
    ]
    by_stamp: dict[int, npt.NDArray[np.float32]] = {}
    for raw_file in _parts(folder, "eye_state", ".raw"):
        time_file = raw_file.with_suffix(".time")
        rows = _columns(_read_raw(raw_file, [(name, "<f4") for name in names]))
        if time_file.is_file() and rows.shape[1] in (14, 20):
            by_stamp.update(zip(_stamps(time_file).tolist(), rows, strict=False))
    return by_stamp


def _read_imu(folder: Path) -> ImuSamples:
    from pupil_labs.neon_recording import NeonRecording

    if not _parts(folder, "extimu", ".raw") and not _parts(folder, "imu", ".raw"):
        return ImuSamples(np.empty(0, np.int64), np.empty((0, 3)), np.empty((0, 3)), np.empty((0, 4)))
    imu = NeonRecording(folder).imu  # two file formats, both of which the vendor's reader knows
    return ImuSamples(
        np.asarray(imu.time, np.int64),
        np.asarray(imu.acceleration, np.float64),
        np.asarray(imu.angular_velocity, np.float64),
        np.asarray(imu.rotation, np.float64),
    )

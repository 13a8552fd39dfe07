"""The colour camera of a Project Aria recording (VRS) as a video: frame times, and frames turned upright.

https://facebookresearch.github.io/projectaria_tools/docs/data_formats/aria_vrs/. In Gen 1 glasses the camera is mounted
turned: a stored picture shows the world turned by 90 degrees anticlockwise. Times are on the device's clock, ns.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.importers.video import BadVideo
from gaze_vlm_ros.storage.tables import require_file
from gaze_vlm_ros.video.images import RGB

CAMERA = "camera-rgb"


class NoAriaTools(GazeVlmError):
    """projectaria-tools is not installed."""


class NoCalibration(GazeVlmError):
    """The recording does not say how its camera sees."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what projectaria-tools writes to the process's outputs off the terminal: dozens of lines a file."""
    kept = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        yield
    finally:
        for number, original in zip((1, 2), kept, strict=True):
            os.dup2(original, number)
            os.close(original)
        os.close(nowhere)


class VrsVideo:
    """Frames of the colour camera, as `video.Video` has those of a video file."""

    def __init__(self, path: Path) -> None:
        """Open a recording. Raises NoAriaTools, FileMissing, BadVideo, NoCalibration."""
        require_file(path, "a Project Aria recording, .vrs")
        try:
            from projectaria_tools.core import data_provider
            from projectaria_tools.core.calibration import DeviceVersion
            from projectaria_tools.core.sensor_data import TimeDomain
        except ImportError:
            raise NoAriaTools(
                "recordings of Project Aria need projectaria-tools: pip install --no-deps projectaria-tools"
            ) from None
        self.path = path
        reason = ""
        try:
            with quiet():
                self.provider: Any = data_provider.create_vrs_data_provider(str(path))
                stream = self.provider and self.provider.get_stream_id_from_label(CAMERA)
                count = self.provider.get_num_data(stream) if stream else 0
        except RuntimeError as error:
            self.provider, reason = None, f" ({error})"
        if not self.provider:
            raise BadVideo(
                f"{path} cannot be read as a VRS recording of Project Aria{reason}; copy or download it again"
            )
        if not count:
            raise BadVideo(f"{path} has no pictures of {CAMERA}, expected a recording with its colour camera")
        self._stream = stream
        self.calibration = self.provider.get_device_calibration()
        self.camera = self.calibration and self.calibration.get_camera_calib(CAMERA)
        if not self.camera:
            raise NoCalibration(
                f"{path} has no calibration of {CAMERA}, and gaze cannot be put on its pictures without; "
                "give the original recording, not a copy without calibration"
            )
        with quiet():
            self.device_ns = np.array(self.provider.get_timestamps_ns(stream, TimeDomain.DEVICE_TIME), np.int64)
            configuration = self.provider.get_image_configuration(stream)
        if len(self.device_ns) != count or np.any(np.diff(self.device_ns) < 0):
            raise BadVideo(f"{path}: the times of its {count} pictures do not rise; copy or download it again")
        self.turned = self.calibration.get_device_version() == DeviceVersion.Gen1
        self._stored = (int(configuration.image_height), int(configuration.image_width))
        self.size = self._stored if self.turned else self._stored[::-1]  # (width, height) px of the upright picture

    def __len__(self) -> int:
        return len(self.device_ns)

    @cached_property
    def frame_ns(self) -> int:
        """Median interval between frames, ns; 0 for a single frame."""
        return int(np.median(np.diff(self.device_ns))) if len(self) > 1 else 0

    def frames(self, chosen: NDArray[np.bool_], size: tuple[int, int]) -> Iterator[tuple[int, RGB]]:
        """Yield (number, (H, W, 3) RGB) of the frames in the mask `chosen` (N,), upright, scaled to `size`.

        Damaged frames are skipped.
        """
        for number in np.flatnonzero(chosen).tolist():
            with quiet():
                try:
                    data, _ = self.provider.get_image_data_by_index(self._stream, number)
                except RuntimeError:
                    continue
                stored = data.to_numpy_array() if data.is_valid() else None
            if stored is None or stored.shape[:2] != self._stored:
                continue
            coloured = stored if stored.ndim == 3 else np.repeat(stored[..., None], 3, axis=2)
            upright = np.ascontiguousarray(np.rot90(coloured, -1) if self.turned else coloured)
            if size != self.size:
                upright = np.asarray(cv2.resize(upright, size, interpolation=cv2.INTER_AREA), np.uint8)
            yield number, upright

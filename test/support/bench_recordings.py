"""Sessions at the simulated bench as motion of the picture and gaze: what tells how gaze fits the picture."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.inspection.camera_gaze_lag import WIDTH_PX, LagEstimate, estimate_lag, picture_motion
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.sim.bench_session import FrameEvent, GazeEvent, simulate
from gaze_vlm_ros.sim.bench_settings import BenchSettings
from gaze_vlm_ros.video.images import encode_jpeg, small_grey


class Recording(NamedTuple):
    """What the estimate is made from."""

    frames_ns: NDArray[np.int64]
    motions: NDArray[np.float64]
    gaze: GazeTrack
    size: tuple[int, int]

    def estimate(self, shift_ms: float = 0.0, **changes: object) -> LagEstimate:
        """With gaze stamped `shift_ms` later than it was."""
        stamps_ns = self.gaze.stamps_ns + round(shift_ms * 1e6)
        gaze = dataclasses.replace(self.gaze, stamps_ns=stamps_ns, **changes)
        return estimate_lag(self.frames_ns, self.motions, gaze, self.size)


def motions_of(pictures: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
    motions = np.full((len(pictures), 6, 2), np.nan)
    for row in range(1, len(pictures)):
        motion = picture_motion(pictures[row - 1], pictures[row])
        if motion is not None:
            motions[row] = motion
    return motions


def record(settings: BenchSettings) -> Recording:
    """A session at the simulated bench, its frames through JPEG as in a bag."""
    stamps_ns, pictures, samples = [], [], []
    for event in simulate(settings):
        if isinstance(event, FrameEvent):
            jpeg = np.frombuffer(encode_jpeg(event.rgb), np.uint8)
            pictures.append(small_grey(np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8), WIDTH_PX))
            stamps_ns.append(event.t_ns)
        elif isinstance(event, GazeEvent):
            samples.append((event.t_ns, event.x, event.y, event.confidence, event.worn, event.eye_state))
    table = np.array(samples)
    size = (settings.width, settings.height)
    states = [table[:, column].astype(np.uint8) for column in (4, 5)]
    gaze = GazeTrack(table[:, 0].astype(np.int64), table[:, 1:3], table[:, 3], *states, size)
    return Recording(np.array(stamps_ns), motions_of(pictures), gaze, size)

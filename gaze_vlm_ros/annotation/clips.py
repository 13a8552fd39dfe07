"""Clips: a session cut into spans of equal length, each with the frames that a model is shown of it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from gaze_vlm_ros.annotation.describe_settings import DescribeSettings
from gaze_vlm_ros.session.session import Session
from gaze_vlm_ros.video.images import RGB, DamagedImage, UnknownEncoding, encode_jpeg


@dataclass(frozen=True)
class Clip:
    """A span of time and its frames: one question to the model."""

    start_ns: int
    end_ns: int
    frames: tuple[int, ...]  # indices into the session's frames


def clips_of(session: Session, settings: DescribeSettings) -> list[Clip]:
    """Cut the session into clips of settings.window_s, and leave out those without a frame."""
    stamps_ns = session.frames.stamps_ns
    length_ns = round(settings.window_s * 1e9)
    found = []
    for start_ns in range(int(stamps_ns[0]), int(stamps_ns[-1]) + 1, length_ns):
        first, stop = np.searchsorted(stamps_ns, [start_ns, start_ns + length_ns])
        if first < stop:
            count = min(settings.frames, int(stop - first))
            # The middle frame of each of `count` equal parts; with one part, the middle frame of the clip.
            picked = first + ((np.arange(count) + 0.5) * (stop - first) / count).astype(int)
            found.append(Clip(start_ns, start_ns + length_ns, tuple(picked.tolist())))
    return found


def clip_pictures(session: Session, clip: Clip, settings: DescribeSettings) -> list[RGB]:
    """Return the clip's frames (H, W, 3), oldest first, shrunk to settings.max_side_px; damaged frames are left out."""
    found = []
    for index in clip.frames:
        try:
            rgb = session.frames.rgb(index)
        except (DamagedImage, UnknownEncoding):
            continue
        scale = settings.max_side_px / max(rgb.shape[:2])
        if scale < 1:
            size = (max(round(rgb.shape[1] * scale), 1), max(round(rgb.shape[0] * scale), 1))
            rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
        found.append(rgb)
    return found


def clip_jpegs(session: Session, clip: Clip, settings: DescribeSettings) -> list[bytes]:
    """Return `clip_pictures` as JPEG."""
    return [encode_jpeg(rgb, settings.jpeg_quality) for rgb in clip_pictures(session, clip, settings)]

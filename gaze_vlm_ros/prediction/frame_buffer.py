"""The newest camera frames, and the observation built from them."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from gaze_vlm_ros.prediction.types import Observation
from gaze_vlm_ros.video.frame_selection import pick_frames, prefer_known
from gaze_vlm_ros.video.images import RGB, DamagedImage, UnknownEncoding, to_rgb


@dataclass(slots=True)
class _Kept:
    stamp_ns: int  # of acquisition
    name: int
    message: Any  # None once the picture is there, and takes no more memory
    picture: RGB | None = None  # what is shown of it; None = not decoded
    shown: bool = False  # an observation had it, so that a vision tower may have encoded it
    camera_size: tuple[int, int] = (0, 0)  # (width, height) px of the message, once it is decoded

    @property
    def size_bytes(self) -> int:
        message, picture = self.message, self.picture
        return (len(message.data) if message is not None else 0) + (picture.nbytes if picture is not None else 0)


class FrameBuffer:
    """Holds the camera frames that observations can still show. Safe to use from two threads.

    With a slack, frames that are closer together than it are left out: however fast the camera is, at most
    2 * observation_s / slack_s + frames + 3 are held. Without one, all frames of the span of an observation are held,
    since any of them may be the one that training would pick.
    A frame that no observation has had is held as its message, or as its picture where that is known to be smaller.
    """

    def __init__(
        self, observation_s: float, frames: int, slack_s: float = 0.0, trained_size: tuple[int, int] = (0, 0)
    ) -> None:
        """Build an empty buffer for observations of `frames` frames in `observation_s` seconds.

        slack_s: see frame_selection.prefer_known; at most observation_s / frames; 0 = the frames that training would
        pick. trained_size: (width, height) px of the training frames; larger ones are shrunk as far as both sides stay
        at least as long. (0, 0) = unknown, frames stay as they are.
        """
        self._observation_s, self._frames, self._slack_s = observation_s, frames, slack_s
        self._trained_size = trained_size
        self._stamps: list[int] = []  # of all frames in the span of an observation, ascending
        self._kept: list[_Kept] = []  # ascending
        self._newest_name = 0
        self._in_use: set[int] = set()  # names of the frames of the newest observation
        self._lock = threading.Lock()

    def add(self, stamp_ns: int, message: Any) -> bool:
        """Keep one image message. Return False where it is not newer than the newest one, and ignore it.

        A stamp that is older by more than an observation means that the clock was set back or a bag started again: the
        kept frames then belong to another time and are dropped.
        """
        span_ns = round(self._observation_s * 1e9)
        with self._lock:
            if self._stamps and stamp_ns <= self._stamps[-1]:
                if stamp_ns > self._stamps[-1] - span_ns:
                    return False
                self._stamps.clear()
                self._kept.clear()
            self._stamps = [stamp for stamp in self._stamps if stamp > stamp_ns - span_ns] + [stamp_ns]
            self._kept.append(_Kept(stamp_ns, self._next_name(), message))
            self._kept = self._worth_keeping(stamp_ns - span_ns)
        self._make_idle_frames_small()
        return True

    def _worth_keeping(self, begins_ns: int) -> list[_Kept]:
        """Return the frames after `begins_ns` that observations may show: no two successive gaps below the slack.

        Whatever frame training would pick is then kept itself, or one that is at most the slack older is.
        """
        slack_ns = round(self._slack_s * 1e9)
        entries = [entry for entry in self._kept if entry.stamp_ns > begins_ns]
        kept = entries[:1]
        for entry, following in zip(entries[1:], [*entries[2:], None], strict=False):
            is_needed = following is None or following.stamp_ns - kept[-1].stamp_ns > slack_ns
            if not slack_ns or is_needed or entry.name in self._in_use:
                kept.append(entry)
        return kept

    def _make_idle_frames_small(self) -> None:
        """Hold frames that the newest observation does not have in as little memory as possible."""
        with self._lock:
            idle = [entry for entry in self._kept[:-1] if entry.name not in self._in_use]
        width, height = self._trained_size
        for entry in idle:
            if entry.picture is None and 0 < 3 * width * height < entry.size_bytes:
                with suppress(DamagedImage, UnknownEncoding):  # reported when an observation has it
                    self._picture(entry)
            elif entry.message is not None and not self._slack_s:  # other observations have other frames
                entry.picture = None

    def _picture(self, entry: _Kept) -> RGB:
        """Return what is shown of a frame, and keep it. Raises as to_rgb."""
        message, picture = entry.message, entry.picture  # in this order: both threads may do this at once
        if picture is None:
            whole = to_rgb(message)
            picture = _shrunk(whole, self._trained_size)
            entry.camera_size, entry.picture = (whole.shape[1], whole.shape[0]), picture
            if picture.nbytes <= len(message.data):
                entry.message = None
        return picture

    def _next_name(self) -> int:
        """Name for one more frame: ascending, and unique among all buffers of this process.

        The arrival time serves, because a backend outlives a buffer and keeps what it computed for a frame by its name.
        """
        self._newest_name = max(self._newest_name + 1, time.monotonic_ns())
        return self._newest_name

    @property
    def newest_ns(self) -> int | None:
        """Stamp of the newest frame; None before the first."""
        with self._lock:
            return self._stamps[-1] if self._stamps else None

    @property
    def held(self) -> tuple[int, int]:
        """Number of frames that are held, and their bytes."""
        with self._lock:
            return len(self._kept), sum(entry.size_bytes for entry in self._kept)

    def observation(self) -> Observation | None:
        """Build the observation that ends at the newest frame, picked as in training; None while frames are too few.

        Raises UnknownEncoding, DamagedImage.
        """
        with self._lock:
            chosen = self._chosen()
            if not chosen:
                return None
            self._in_use = {entry.name for entry in chosen}
        frames = [self._picture(entry) for entry in chosen]
        with self._lock:
            for entry in self._kept:  # what is older than an observation shows is not shown again
                entry.shown = entry.name >= chosen[0].name and (entry.shown or entry.name in self._in_use)
        self._make_idle_frames_small()
        stamps, names = zip(*((entry.stamp_ns, entry.name) for entry in chosen), strict=True)
        return Observation(frames, stamps, names, chosen[-1].camera_size)

    def _chosen(self) -> list[_Kept]:
        """Return the frames of the observation that ends at the newest one; the lock must be held."""
        if not self._stamps:
            return []
        stamps_ns = np.array(self._stamps)
        picked = pick_frames(stamps_ns, self._stamps[-1], self._observation_s, self._frames)
        if not len(picked):
            return []
        kept_ns = np.array([entry.stamp_ns for entry in self._kept])
        shown = np.array([entry.shown for entry in self._kept])
        for among in (kept_ns[shown], kept_ns):  # one that is not kept gives way to one that is
            known = np.isin(stamps_ns, among)
            picked = prefer_known(stamps_ns, picked, known, self._observation_s, self._slack_s)
        return [self._kept[index] for index in np.searchsorted(kept_ns, stamps_ns[picked])]


def _shrunk(picture: RGB, trained_size: tuple[int, int]) -> RGB:
    """Return a picture no larger than it takes for both sides to be at least as long as in training.

    trained_size: (width, height) px; (0, 0) = as it is.
    """
    height, width, _ = picture.shape
    scale = max(trained_size[0] / width, trained_size[1] / height)
    if not 0 < scale < 1:
        return picture
    size = round(width * scale), round(height * scale)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)

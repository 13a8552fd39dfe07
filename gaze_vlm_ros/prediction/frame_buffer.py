"""The newest camera frames, and the observation built from them."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import numpy as np

from gaze_vlm_ros.prediction.types import Observation
from gaze_vlm_ros.video.frame_selection import pick_frames, prefer_known
from gaze_vlm_ros.video.images import RGB, to_rgb


class FrameBuffer:
    """Holds camera messages, undecoded, for as long as an observation may need them. Safe to use from two threads."""

    def __init__(self, observation_s: float, frames: int, slack_s: float = 0.0) -> None:
        """Build an empty buffer for observations of `frames` frames in `observation_s` seconds.

        slack_s: see frame_selection.prefer_known; 0 = the frames that training would pick.
        """
        self._observation_s, self._frames, self._slack_s = observation_s, frames, slack_s
        self._messages: list[tuple[int, int, Any]] = []  # (acquisition stamp, name, message), ascending
        self._decoded: dict[int, RGB] = {}  # by name: frames of earlier observations that later ones may show again
        self._newest_name = 0
        self._lock = threading.Lock()

    def add(self, stamp_ns: int, message: Any) -> bool:
        """Keep one image message. Return False where it is not newer than the newest one, and ignore it.

        A stamp that is older by more than an observation means that the clock was set back or a bag started again: the
        kept frames then belong to another time and are dropped.
        """
        span_ns = round(self._observation_s * 1e9)
        with self._lock:
            if self._messages and stamp_ns <= self._messages[-1][0]:
                if stamp_ns > self._messages[-1][0] - span_ns:
                    return False
                self._messages.clear()
            self._messages.append((stamp_ns, self._next_name(), message))
            while self._messages[0][0] <= stamp_ns - span_ns:
                self._messages.pop(0)
        return True

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
            return self._messages[-1][0] if self._messages else None

    def observation(self) -> Observation | None:
        """Build the observation that ends at the newest frame, picked as in training; None while frames are too few.

        Raises UnknownEncoding, DamagedImage.
        """
        with self._lock:
            messages = list(self._messages)
        if not messages:
            return None
        stamps_ns = np.array([stamp_ns for stamp_ns, *_ in messages])
        picked = pick_frames(stamps_ns, int(stamps_ns[-1]), self._observation_s, self._frames)
        if not len(picked):
            return None
        known = np.array([name in self._decoded for _, name, _ in messages])
        picked = prefer_known(stamps_ns, picked, known, self._observation_s, self._slack_s)
        chosen = [messages[index] for index in picked]
        frames = [self._decoded[name] if name in self._decoded else to_rgb(message) for _, name, message in chosen]
        stamps, names, _ = zip(*chosen, strict=True)
        self._keep_decoded(dict(zip(names, frames, strict=True)), messages[picked[0] :])
        return Observation(frames, stamps, names)

    def _keep_decoded(self, frames: dict[int, RGB], messages: list[tuple[int, int, Any]]) -> None:
        """Keep the decoded frames that later observations may show: no two successive gaps below the slack.

        A frame may take 6 MB, and a fast model queries every frame that the camera sends.
        """
        known = self._decoded | frames
        stamps = [(stamp_ns, name) for stamp_ns, name, _ in messages if name in known]
        slack_ns = round(self._slack_s * 1e9)
        kept = stamps[:1]
        for entry, following in itertools.pairwise(stamps[1:]):
            if entry[1] in frames or following[0] - kept[-1][0] > slack_ns > 0:
                kept.append(entry)
        self._decoded = {name: known[name] for _, name in [*kept, *stamps[-1:]]}

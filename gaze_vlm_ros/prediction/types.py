"""Data of a prediction: camera frames in, probabilities out; gaze has no way in. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.prediction.checkpoint import CheckpointMetadata
from gaze_vlm_ros.prediction.smoothing import Smoothed
from gaze_vlm_ros.video.images import RGB


class NoAnswer(GazeVlmError):
    """This observation has no answer; the next one may have one."""


class Status(IntEnum):
    """Status of a prediction: the numbers of gaze_vlm_msgs/ActionPrediction.STATUS_*."""

    OK = 0  # the best candidate may be used
    ABSTAIN = 1  # the best candidate is too improbable
    STALE_INPUT = 2  # the camera stopped, or the answer is too old
    NO_INPUT = 3  # no frame yet, or too few
    ERROR = 4  # a damaged frame or a failed inference
    NOTHING = 5  # most probably nothing begins within the horizon


STATUS_NAMES = tuple(status.name for status in Status)
WITH_CANDIDATES = (Status.OK, Status.ABSTAIN, Status.NOTHING)


@dataclass(frozen=True)
class Observation:
    """The frames of one query, oldest first, and their acquisition times."""

    frames: list[RGB]
    stamps_ns: tuple[int, ...]  # one per frame
    # One per frame, ascending. A name is never used for a second frame, even when a clock is set back. Empty = the
    # stamps serve as names.
    names: tuple[int, ...] = ()
    # (width, height) px of the camera's image that the last frame was shrunk from; (0, 0) = it was not shrunk
    camera_size: tuple[int, int] = (0, 0)

    @property
    def start_ns(self) -> int:
        """Stamp of the first frame."""
        return self.stamps_ns[0]

    @property
    def stamp_ns(self) -> int:
        """Stamp of the last frame."""
        return self.stamps_ns[-1]

    @property
    def image_size(self) -> tuple[int, int]:
        """(width, height) px of the camera's image that the last frame shows."""
        height, width, _ = self.frames[-1].shape
        return self.camera_size if self.camera_size[0] else (width, height)

    def on_camera(self, point: tuple[float, float]) -> tuple[float, float]:
        """Return a point in px of the last frame as one in px of the camera's image."""
        height, width, _ = self.frames[-1].shape
        return point[0] * self.image_size[0] / width, point[1] * self.image_size[1] / height


@dataclass(frozen=True)
class FrameAttention:
    """Where the model looked in the last frame while it gave its best answer: a hint, not a measurement."""

    boxes: NDArray[np.float64]  # (V, 4) px in the last frame: x0 y0 x1 y1 of each visual token that covers part of it
    shares: NDArray[np.float64]  # (V,) share of the attention on the last frame; sums to 1

    @property
    def focus(self) -> tuple[float, float]:
        """Centre of the box with the largest share, px; NaN without boxes."""
        if not len(self.shares):
            return float("nan"), float("nan")
        x0, y0, x1, y1 = self.boxes[self.shares.argmax()]
        return float(x0 + x1) / 2, float(y0 + y1) / 2


@dataclass(frozen=True)
class NowAnswer:
    """An answer to what goes on now. All probabilities sum to 1."""

    texts: tuple[str, ...]  # (A,) the checkpoint's labels in their order, or a generated text
    probabilities: NDArray[np.float64]  # (A,)
    nothing_probability: float  # that no action goes on
    other_probability: float | None = None  # of all other texts; None = there are none


@dataclass(frozen=True)
class Answer:
    """A backend's answer to one observation. probabilities, other_probability and nothing_probability sum to 1."""

    # (A,) the checkpoint's labels in their order, or generated texts, best first; "" = it said that nothing begins
    texts: tuple[str, ...]
    probabilities: NDArray[np.float64]  # (A,)
    score_kind: str  # one of checkpoint.SCORE_KINDS: what the probabilities are worth
    other_probability: float | None = None  # that none of the texts is right; None = unknown, the texts share all of it
    time_to_start_s: NDArray[np.float64] | None = None  # (A,) expected, from the last frame; NaN = unknown
    focus: tuple[float, float] = (float("nan"), float("nan"))  # px in the last frame; NaN = unknown
    attention: FrameAttention | None = None  # None = unknown
    # (A, K) P(action, part of the horizon), with sums `probabilities`; None = the answer does not say when
    table: NDArray[np.float64] | None = None
    nothing_probability: float | None = None  # that nothing begins within the horizon; None = not estimated
    now: NowAnswer | None = None  # to the second question; None = it was not asked
    stages: Mapping[str, float] = field(default_factory=dict)  # s spent on each stage of the work, in order


@dataclass(frozen=True)
class AnsweredObservation:
    """An answer together with the observation that it belongs to, smoothed over the answers before it."""

    answer: Answer
    smoothed: Smoothed
    start_ns: int  # stamp of the first frame
    stamp_ns: int  # stamp of the last frame
    inference_s: float  # from the start of decoding to the answer
    prediction_id: bytes  # 16 random bytes (UUID)
    now: Smoothed | None = None  # over answer.now.texts and, last, nothing; None = it was not asked


@dataclass(frozen=True)
class Problem:
    """Why the newest observation has no answer."""

    status: Status  # NO_INPUT or ERROR
    text: str
    stamp_ns: int  # of the frame that the model was queried for; 0 = none
    unexpected: bool = False  # an exception that no code of ours raises, e.g. out of memory: worth a log entry


class Backend(Protocol):
    """Something that answers observations. It is called from one thread at a time."""

    @property
    def metadata(self) -> CheckpointMetadata:
        """What the backend was trained for: question, labels, frames, times."""

    def warm_up(self) -> None:
        """Do now what would delay the first query. Raises GazeVlmError where no query can succeed."""

    def predict(self, observation: Observation) -> Answer:
        """Answer one observation. Raises NoAnswer where this observation has none."""

    def close(self) -> None:
        """Free memory and connections; no query is possible afterwards. May be called twice."""

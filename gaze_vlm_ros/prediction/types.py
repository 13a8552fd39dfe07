"""What is asked and what is answered: camera frames in, probabilities out; gaze has no way in. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.prediction.checkpoint import CheckpointMetadata
from gaze_vlm_ros.video.images import RGB


class NoAnswer(GazeVlmError):
    """This observation has no answer; the next one may."""


@dataclass(frozen=True)
class Observation:
    """The frames of one question, oldest first, and their acquisition times."""

    frames: list[RGB]
    stamps_ns: tuple[int, ...]  # of each frame
    # Of each frame, and of no other ever, also when a clock is set back; ascending. Empty = the stamps are such names.
    names: tuple[int, ...] = ()

    @property
    def start_ns(self) -> int:
        return self.stamps_ns[0]

    @property
    def stamp_ns(self) -> int:
        return self.stamps_ns[-1]


@dataclass(frozen=True)
class FrameAttention:
    """Where the model looked in the last frame while it gave its best answer: a hint, not a measurement."""

    boxes: NDArray[np.float64]  # (V, 4) px in the last frame, x0 y0 x1 y1, of each visual token that looks at it
    shares: NDArray[np.float64]  # (V,) of the attention on the last frame, sum to 1

    @property
    def focus(self) -> tuple[float, float]:
        """px: centre of the box with the largest share; NaN without boxes."""
        if not len(self.shares):
            return float("nan"), float("nan")
        x0, y0, x1, y1 = self.boxes[self.shares.argmax()]
        return float(x0 + x1) / 2, float(y0 + y1) / 2


@dataclass(frozen=True)
class Answer:
    """What is said about one observation. probabilities and other_probability sum to 1."""

    texts: tuple[str, ...]  # (A,) the metadata's labels in their order, or what was generated, best first
    probabilities: NDArray[np.float64]  # (A,)
    score_kind: str  # one of checkpoint.SCORE_KINDS: what the probabilities are worth
    other_probability: float | None = None  # of none of the texts; None = unknown, the texts share all of it
    time_to_start_s: NDArray[np.float64] | None = None  # (A,) expected, from the last frame; NaN = unknown
    focus: tuple[float, float] = (float("nan"), float("nan"))  # px in the last frame; NaN = unknown
    attention: FrameAttention | None = None  # None = unknown
    stages: Mapping[str, float] = field(default_factory=dict)  # s spent on each part of the work, in order


class Backend(Protocol):
    """Something that answers. Called from one thread at a time."""

    @property
    def metadata(self) -> CheckpointMetadata:
        """What it was made for: question, labels, frames, times."""

    def warm_up(self) -> None:
        """Do now what only the first question would wait for. Raises GazeVlmError where no question can succeed."""

    def predict(self, observation: Observation) -> Answer:
        """Raises NoAnswer where there is none to this observation."""

    def close(self) -> None:
        """Free its memory and connections; it cannot be asked any more. May be called twice."""

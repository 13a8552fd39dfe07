"""What is asked and what is answered: camera frames in, probabilities out; gaze has no way in. No torch here."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.checkpoint import Card
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.images import RGB, to_rgb
from gaze_vlm_ros.observation_window import pick_frames, prefer_known

BACKENDS = ("model", "replay", "openai")
ANSWERS = ("closed", "open")


class UnknownBackend(GazeVlmError):
    """There is no such kind of backend, or it does not give such answers."""


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

    texts: tuple[str, ...]  # (A,) the card's labels in their order, or what was generated, best first
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
    def card(self) -> Card:
        """What it was made for: question, labels, frames, times."""

    def warm_up(self) -> None:
        """Do now what only the first question would wait for. Raises GazeVlmError where no question can succeed."""

    def predict(self, observation: Observation) -> Answer:
        """Raises NoAnswer where there is none to this observation."""

    def close(self) -> None:
        """Free its memory and connections; it cannot be asked any more. May be called twice."""


def open_backend(
    checkpoint: Path | str,
    *,
    backend: str = "model",
    answers: str = "closed",
    device: str = "auto",
    dtype: str = "float32",
    quantization: str = "none",
    compiled: bool = False,
    server_url: str = "",
    server_model: str = "",
    server_timeout_s: float = 2.0,
    replay_loop: bool = True,
    replay_delay: bool = True,
) -> Backend:
    """Ready to be asked; the model is loaded.

    checkpoint: folder that training/fit.py wrote; of replay, a bag with predictions or a file of them.
    backend: model = the checkpoint's own weights in this process; replay = recorded answers, see backends.replay;
        openai = a server at server_url that serves the checkpoint, see backends.openai_server.
    answers: closed = the card's labels, ranked; open = free text, generated.
    device: auto = cuda where there is one. dtype: of weights and activations: float32, bfloat16 or float16.
    quantization, compiled: of backend model, see vlm.acceleration.
    replay_loop: begin again behind the last answer. replay_delay: take as long for each answer as the model did.
    Raises UnknownBackend, NotACheckpoint, and what the backend itself raises.
    """
    if backend not in BACKENDS:
        raise UnknownBackend(f"backend is {backend!r}, expected one of {', '.join(BACKENDS)}")
    if answers not in ANSWERS:
        raise UnknownBackend(f"answers is {answers!r}, expected one of {', '.join(ANSWERS)}")
    if backend == "replay" and answers == "closed":
        from gaze_vlm_ros.backends.replay import ReplayBackend

        return ReplayBackend(checkpoint, replay_loop, replay_delay)
    if backend == "openai":
        try:
            from gaze_vlm_ros.backends.openai_server import ServerBackend
        except ModuleNotFoundError as error:
            raise UnknownBackend(
                f"backend openai needs {error.name}, which is not here: pip install {error.name}"
            ) from None
        return ServerBackend(checkpoint, server_url, server_model, server_timeout_s, answers)
    if backend != "model":
        raise UnknownBackend(
            f"backend {backend} with {answers} answers: recorded answers are what they are; leave answers at closed"
        )
    from gaze_vlm_ros.backends.model import ModelBackend

    return ModelBackend(checkpoint, device, dtype, answers, quantization, compiled)


_names = itertools.count()  # of frames, in this process


class FrameBuffer:
    """The newest camera messages, undecoded, as long as an observation can need them. Safe to use from two threads."""

    def __init__(self, observation_s: float, frames: int, slack_s: float = 0.0) -> None:
        """slack_s: see observation_window.prefer_known; 0 = the frames that training would pick."""
        self._observation_s, self._frames, self._slack_s = observation_s, frames, slack_s
        self._messages: list[tuple[int, int, Any]] = []  # (acquisition stamp, name, message), ascending
        self._decoded: dict[int, RGB] = {}  # by name, of earlier observations: frames that later ones may show again
        self._lock = threading.Lock()

    def add(self, stamp_ns: int, message: Any) -> bool:
        """Keep one image message; False where it is not newer than the newest, and is ignored.

        A stamp that is older by more than an observation is a clock that was set back, or a bag that began again: what
        is kept belongs to another time then and is forgotten.
        """
        span_ns = round(self._observation_s * 1e9)
        with self._lock:
            if self._messages and stamp_ns <= self._messages[-1][0]:
                if stamp_ns > self._messages[-1][0] - span_ns:
                    return False
                self._messages.clear()
            self._messages.append((stamp_ns, next(_names), message))
            while self._messages[0][0] <= stamp_ns - span_ns:
                self._messages.pop(0)
        return True

    @property
    def newest_ns(self) -> int | None:
        """Stamp of the newest frame."""
        with self._lock:
            return self._messages[-1][0] if self._messages else None

    def observation(self) -> Observation | None:
        """The frames that end at the newest, picked as in training; None while there are too few.

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
        """Of this and earlier observations, what later ones may show: with no two gaps in a row below the slack.

        A frame may be 6 MB, and a fast model has asked about each that the camera sent.
        """
        known = self._decoded | frames
        stamps = [(stamp_ns, name) for stamp_ns, name, _ in messages if name in known]
        slack_ns = round(self._slack_s * 1e9)
        kept = stamps[:1]
        for entry, following in itertools.pairwise(stamps[1:]):
            if entry[1] in frames or following[0] - kept[-1][0] > slack_ns > 0:
                kept.append(entry)
        self._decoded = {name: known[name] for _, name in [*kept, *stamps[-1:]]}

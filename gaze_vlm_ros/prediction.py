"""A checkpoint asked about frames: which action comes next. Camera frames in, probabilities out; gaze has no way in."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.checkpoint import Card, read_card
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.images import RGB, to_rgb
from gaze_vlm_ros.observation_window import pick_frames


class NoSuchDevice(GazeVlmError):
    """The device or number format that was asked for is not one that torch has here."""


class NotANumber(GazeVlmError):
    """The model's output is not finite."""


@dataclass(frozen=True)
class Observation:
    """The frames of one question, oldest first, and the acquisition times of the first and the last, ns."""

    frames: list[RGB]
    start_ns: int
    stamp_ns: int


@dataclass(frozen=True)
class Answer:
    """What the model says about one observation."""

    probabilities: NDArray[np.float64]  # (A,) over the checkpoint's labels, sums to 1
    focus: tuple[float, float]  # px in the last frame: centre of what it attended to most there; NaN = unknown


class FrameBuffer:
    """The newest camera messages, undecoded, as long as an observation can need them. Safe to use from two threads."""

    def __init__(self, observation_s: float, frames: int) -> None:
        self._observation_s, self._frames = observation_s, frames
        self._messages: list[tuple[int, Any]] = []  # (acquisition stamp, message), ascending
        self._decoded: dict[int, RGB] = {}  # of the last observation; the next one mostly shares frames with it
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
            self._messages.append((stamp_ns, message))
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
        stamps_ns = np.array([stamp_ns for stamp_ns, _ in messages])
        picked = pick_frames(stamps_ns, int(stamps_ns[-1]), self._observation_s, self._frames)
        if not len(picked):
            return None
        chosen = [messages[index] for index in picked]
        self._decoded = {
            stamp_ns: frame if (frame := self._decoded.get(stamp_ns)) is not None else to_rgb(message)
            for stamp_ns, message in chosen
        }
        return Observation([self._decoded[stamp_ns] for stamp_ns, _ in chosen], chosen[0][0], chosen[-1][0])


class Predictor:
    """A loaded checkpoint."""

    def __init__(self, folder: Path | str, device: str = "auto", dtype: str = "float32") -> None:
        """Load the checkpoint that training/fit.py wrote. Takes seconds; imports torch and transformers.

        device: auto = cuda where there is one. dtype: of weights and activations, e.g. float32 or bfloat16.
        Raises NotACheckpoint, UnknownModel, NoSuchDevice.
        """
        self.card: Card = read_card(folder)
        import torch
        from transformers.utils import logging

        from gaze_vlm_ros.vlm.attention_tap import enable_tap, middle_layers
        from gaze_vlm_ros.vlm.loading import load_vlm
        from gaze_vlm_ros.vlm.observation import answer_tokens

        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        number_format = getattr(torch, dtype, None)
        if not isinstance(number_format, torch.dtype) or not number_format.is_floating_point:
            raise NoSuchDevice(f"dtype is {dtype!r}, expected float32, bfloat16 or float16")
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            raise NoSuchDevice(f"device {device!r} is not there ({str(error).splitlines()[0]}); use cpu") from None
        logging.disable_progress_bar()  # no place for it in a robot's logs
        self._model, self._processor = load_vlm(Path(folder).expanduser(), device=device, dtype=number_format)
        enable_tap(self._model)
        self._layers = middle_layers(self._model)
        self._answers = [answer_tokens(self._processor, label) for label in self.card.labels]

    def predict(self, frames: Sequence[RGB]) -> Answer:
        """Rank all labels of the checkpoint after its question about `frames`, oldest first. Raises NotANumber."""
        from scipy.special import softmax

        from gaze_vlm_ros.vlm.ranking import rank

        ranking = rank(self._model, self.encode(frames), self._answers, self._layers)
        if not np.isfinite(ranking.log_likelihoods).all():
            raise NotANumber("the model's answer is not finite; with dtype float16, use float32 or bfloat16")
        probabilities = softmax(ranking.log_likelihoods / self.card.temperature)
        assert ranking.attention is not None
        return Answer(probabilities, self._focus(ranking.attention[probabilities.argmax()], frames))

    def encode(self, frames: Sequence[RGB]) -> Any:
        """What the model is given: the same as in training (vlm.observation.encode)."""
        from gaze_vlm_ros.vlm.observation import encode

        return encode(self._processor, frames, self.card.question)

    def _focus(self, attention: NDArray[np.float64], frames: Sequence[RGB]) -> tuple[float, float]:
        from gaze_vlm_ros.vlm.visual_tokens import visual_tokens

        height, width, _ = frames[-1].shape
        frame_of_token, boxes = visual_tokens(self._model, self._processor, (width, height), len(frames))
        of_last = np.flatnonzero(frame_of_token == len(frames) - 1)
        if not len(of_last):
            return float("nan"), float("nan")
        x0, y0, x1, y1 = boxes[of_last[attention[of_last].argmax()]]
        return float(x0 + x1) / 2, float(y0 + y1) / 2

"""Show gaze to the model during training, in words or drawn into the pictures, to compare with supervised attention.

The robot has no gaze to show, so evaluation and prediction never show any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.video.images import RGB
from gaze_vlm_ros.vlm.observation import encode
from training.data.gaze_targets import FrameGaze
from training.settings import Settings

_UNKNOWN = "00 00"
RING_RADIUS = 0.04  # radius of the drawn ring as a share of the frame's width: about that of a fixated object
RING_RGB = (0, 255, 0)


class UnequalPrompts(GazeVlmError):
    """The tokenizer splits two-digit numbers into unequal numbers of tokens."""


def question(settings: Settings) -> str:
    """Return the question without gaze, the one that a checkpoint of these settings always gets."""
    return question_with_gaze(settings, [(np.empty((0, 2)), np.empty(0))] * settings.frames, (1, 1))


def questions(settings: Settings) -> list[str]:
    """Return the questions that a checkpoint of these settings gets: of what is next, of what goes on now, or both."""
    asked = [question(settings)] if settings.asks_next or not settings.asks_now else []
    return [*asked, now_question(settings)] if settings.asks_now else asked


def now_question(settings: Settings) -> str:
    """Return the question what goes on now, without gaze."""
    return question(replace(settings, question=settings.now_question))


def question_with_gaze(settings: Settings, gaze: Sequence[FrameGaze], frame_size: tuple[int, int]) -> str:
    """Return the question with the mean gaze on each frame, x and y in percent of the frame; `00 00` without gaze.

    gaze: points px and weights on each frame. frame_size: (width, height) px. Numbers have two digits, so that all
    questions have equally many tokens. Unless settings.gaze_as is "text", this is only the question.
    """
    if settings.gaze_as != "text":
        return settings.question
    places = [_place(points, weights, frame_size) for points, weights in gaze]
    return f"{settings.question} Gaze: {', '.join(places)}."


def _place(points: NDArray[np.float64], weights: NDArray[np.float64], frame_size: tuple[int, int]) -> str:
    if not len(points):
        return _UNKNOWN
    percent = np.average(points, axis=0, weights=weights) / frame_size * 100
    x, y = np.clip(percent.round(), 1, 99).astype(int)
    return f"{x:02d} {y:02d}"


def with_ring(picture: RGB, points: NDArray[np.float64], weights: NDArray[np.float64]) -> RGB:
    """Return a copy of (H, W, 3) `picture` with a ring around the mean gaze; `picture` itself without gaze.

    points: (n, 2) px. weights: (n,).
    """
    if not len(points):
        return picture
    width = picture.shape[1]
    x, y = np.average(points, axis=0, weights=weights).round().astype(int).tolist()
    thickness = max(1, round(0.006 * width))
    drawn = np.ascontiguousarray(picture.copy())
    cv2.circle(drawn, (x, y), round(RING_RADIUS * width), RING_RGB, thickness, cv2.LINE_AA)
    return drawn


@dataclass
class GazePrompts:
    """The text inputs of prompts with gaze in words. Keeps those it has made."""

    processor: Any
    settings: Settings
    frame_size: tuple[int, int]  # (width, height) px
    names: tuple[str, ...]  # names of the text inputs
    length: int  # number of tokens of the prompt without gaze
    _made: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)

    def __call__(self, gaze: Sequence[FrameGaze]) -> dict[str, torch.Tensor]:
        """Return the text inputs for the gaze on a window's frames, (1, P) each. Raises UnequalPrompts."""
        question = question_with_gaze(self.settings, gaze, self.frame_size)
        if question not in self._made:
            blank = [np.zeros((self.frame_size[1], self.frame_size[0], 3), np.uint8)] * self.settings.frames
            encoded = encode(self.processor, blank, question)
            if encoded.length != self.length:
                raise UnequalPrompts(
                    f"{question!r} has {encoded.length} tokens for {self.settings.model}, and with unknown gaze "
                    f"{self.length}; gaze_as: text needs a tokenizer that gives two digits equally many tokens"
                )
            self._made[question] = {name: encoded.inputs[name] for name in self.names if name in encoded.inputs}
        return self._made[question]

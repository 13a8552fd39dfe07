"""Gaze shown to the model while it learns, in words or drawn into the pictures: what leading attention is compared to.

On the robot there is no gaze to show, so neither is shown when the model is evaluated or asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
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
RING_RADIUS = 0.04  # of the drawn ring, as a share of the frame's width: about a fixated object
RING_RGB = (0, 255, 0)


class UnequalPrompts(GazeVlmError):
    """Numbers of the same number of digits are not the same number of tokens."""


def question(settings: Settings) -> str:
    """The question where gaze is not shown: all that a checkpoint of these settings is ever asked."""
    return question_with_gaze(settings, [(np.empty((0, 2)), np.empty(0))] * settings.frames, (1, 1))


def question_with_gaze(settings: Settings, gaze: Sequence[FrameGaze], frame_size: tuple[int, int]) -> str:
    """The question with the mean gaze on each frame in words, in percent of the frame; `00 00` where there is none.

    Always two digits, so that questions are equally long. Without gaze_as: text it is the question alone.
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
    """A copy of (H, W, 3) `picture` with a ring around the mean gaze; itself where there is none."""
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
    """The prompt's text tensors with gaze in words, of each window."""

    processor: Any
    settings: Settings
    frame_size: tuple[int, int]
    names: tuple[str, ...]  # of the text tensors
    length: int  # tokens of the prompt without gaze
    _made: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)

    def __call__(self, gaze: Sequence[FrameGaze]) -> dict[str, torch.Tensor]:
        """(1, P) each. Raises UnequalPrompts."""
        question = question_with_gaze(self.settings, gaze, self.frame_size)
        if question not in self._made:
            blank = [np.zeros((self.frame_size[1], self.frame_size[0], 3), np.uint8)] * self.settings.frames
            encoded = encode(self.processor, blank, question)
            if encoded.length != self.length:
                raise UnequalPrompts(
                    f"{question!r} is {encoded.length} tokens to {self.settings.model}, and with unknown gaze "
                    f"{self.length}; gaze_as: text needs a tokenizer that takes two digits for equally many tokens"
                )
            self._made[question] = {name: encoded.inputs[name] for name in self.names if name in encoded.inputs}
        return self._made[question]

"""Tiny models, each built once, and pictures with something on them."""

from __future__ import annotations

import functools
from typing import Any

import cv2
import numpy as np
import pytest

from gaze_vlm_ros.vlm.tiny import TINY_MODELS, build_tiny

QUESTION = "What will the person do next?"
ANSWERS = ["take the red mug", "open the drawer", "go", "take the yellow screwdriver from the box"]


@functools.cache
def built(name: str) -> tuple[Any, Any]:
    return build_tiny(name, [QUESTION, *ANSWERS], hidden=64, image_size=64)


# The others' visual tokens are tokens of the prompt.
CROSSED = ("tiny:mllama",)


@pytest.fixture(params=[name for name in TINY_MODELS if name not in CROSSED])
def tiny_name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def tiny(tiny_name: str) -> tuple[Any, Any]:
    """(model, processor), shared by all tests: a test that changes one builds its own."""
    return built(tiny_name)


@pytest.fixture
def pictures():
    def make(count: int, size: tuple[int, int] = (640, 480), seed: int = 0) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        small = rng.integers(0, 256, (count, 12, 16, 3)).astype(np.uint8)
        return [cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC) for picture in small]

    return make

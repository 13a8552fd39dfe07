"""Frames that windows share are made ready once, and nobody can tell from what comes of it."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from gaze_vlm_ros.video.images import RGB
from gaze_vlm_ros.vlm.observation import encode
from gaze_vlm_ros.vlm.tiny import TINY_MODELS, build_tiny
from training.data.conversion import TEXT_TENSORS
from training.data.frame_images import Tensors, window_images

TILE_SINGLE_FRAMES = ("tiny:llava-onevision",)  # and never several together
SHOWN = [(0, 1, 2), (1, 2, 3), (0, 2, 4), (5, 6, 7), (6, 7, 8)]
PICTURES = list(np.random.default_rng(0).integers(0, 256, (9, 72, 128, 3)).astype(np.uint8))


def good(frames: Sequence[int]) -> tuple[list[RGB], str]:
    return [PICTURES[index] for index in frames], ""


def counted(tensors_of: Callable[[list[RGB]], Tensors], calls: list[int]) -> Callable[[list[RGB]], Tensors]:
    def tensors(pictures: list[RGB]) -> Tensors:
        calls.append(len(pictures))
        return tensors_of(pictures)

    return tensors


@pytest.mark.parametrize("tiles", [1, 4])
@pytest.mark.parametrize("name", TINY_MODELS)
def test_windows_have_the_tensors_that_the_processor_gives_them_as_a_whole(name: str, tiles: int) -> None:
    _, processor = build_tiny(name, ["?"], image_size=32, hidden=32, tiles=tiles)

    def tensors_of(pictures: list[RGB]) -> Tensors:
        inputs = encode(processor, pictures, "?").inputs
        return {name: tensor for name, tensor in inputs.items() if name not in TEXT_TENSORS}

    calls: list[int] = []
    given = list(window_images(SHOWN, good, counted(tensors_of, calls)))
    for frames, (tensors, problem) in zip(SHOWN, given, strict=True):
        assert not problem
        whole = tensors_of(good(frames)[0])
        assert tensors.keys() == whole.keys()
        assert all(torch.equal(tensors[key], whole[key]) for key in whole)
    # The first window as a whole and in parts; then each frame that is new.
    assert calls[:4] == [3, 1, 1, 1]
    assert calls[4:] == ([3] * 4 if name in TILE_SINGLE_FRAMES else [1] * 6)


def test_frames_that_change_each_other_are_read_as_a_whole() -> None:
    def brightest(pictures: list[RGB]) -> Tensors:
        stack = torch.from_numpy(np.stack(pictures)).double()
        return {"pixels": stack / stack.max()}

    dark = [picture // (index + 1) for index, picture in enumerate(PICTURES)]
    given = list(window_images(SHOWN, lambda frames: ([dark[index] for index in frames], ""), brightest))
    for frames, (tensors, _) in zip(SHOWN, given, strict=True):
        assert torch.equal(tensors["pixels"], brightest([dark[index] for index in frames])["pixels"])


def test_a_frame_that_cannot_be_used_costs_the_windows_that_show_it() -> None:
    def sometimes(frames: Sequence[int]) -> tuple[list[RGB], str]:
        return ([], "with a damaged frame") if {1, 6} & set(frames) else good(frames)

    def sums(pictures: list[RGB]) -> Tensors:
        return {"pixels": torch.from_numpy(np.stack(pictures))}

    given = list(window_images(SHOWN, sometimes, sums))
    assert [problem for _, problem in given] == ["with a damaged frame"] * 2 + [""] + ["with a damaged frame"] * 2
    assert torch.equal(given[2][0]["pixels"], sums(good(SHOWN[2])[0])["pixels"])


def test_what_no_later_window_shows_is_not_kept() -> None:
    made: list[Any] = []

    def tensors_of(pictures: list[RGB]) -> Tensors:
        tensor = torch.from_numpy(np.stack(pictures))
        made.append(weakref.ref(tensor))
        return {"pixels": tensor}

    shown = [(number, number + 1) for number in range(100)]
    pictures = np.zeros((101, 4, 4, 3), np.uint8)
    for _ in window_images(shown, lambda frames: ([pictures[index] for index in frames], ""), tensors_of):
        assert sum(alive() is not None for alive in made) <= 5  # at the first window: it, and its frames by themselves

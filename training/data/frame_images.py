"""Image tensors of windows that share frames: each frame is decoded and made ready for the model once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import torch

from gaze_vlm_ros.video.images import RGB
from gaze_vlm_ros.vlm.joining import join_like

Tensors = dict[str, torch.Tensor]


def window_images(
    shown: Sequence[tuple[int, ...]],
    pictures_of: Callable[[Sequence[int]], tuple[list[RGB], str]],
    tensors_of: Callable[[list[RGB]], Tensors],
) -> Iterator[tuple[Tensors, str]]:
    """For each window its image tensors, or none and why it cannot be used.

    shown: numbers of each window's frames. pictures_of: these frames, or none and what is wrong with one of them.
    tensors_of: what a model takes of some pictures.

    Whether the tensors of a window are those of its frames by themselves, joined, is found by comparing the first
    window bit by bit; where they are not, each window is made as a whole. What is kept is what a later window shows.
    """
    uses_left = Counter(index for frames in shown for index in frames)
    kept: dict[int, Tensors] = {}
    shapes: Tensors = {}  # the first window, without its memory
    apart = False
    for frames in shown:
        tensors: Tensors = {}
        if apart:
            problem = ""
            for index in frames:
                if index not in kept and not problem:
                    pictures, problem = pictures_of([index])
                    if not problem:
                        kept[index] = tensors_of(pictures)
            if not problem:
                tensors = _joined(shapes, [kept[index] for index in frames])
        else:
            pictures, problem = pictures_of(frames)
            if not problem:
                tensors = tensors_of(pictures)
        if not shapes and not problem:
            shapes = {name: tensor.to("meta") for name, tensor in tensors.items()}
            kept = dict(zip(frames, _parts(tensors, [tensors_of([picture]) for picture in pictures]), strict=False))
            apart = bool(kept)
        yield tensors, problem
        for index in frames:
            uses_left[index] -= 1
            if not uses_left[index]:
                kept.pop(index, None)


def _joined(whole: Tensors, parts: Sequence[Tensors]) -> Tensors:
    return {name: join_like(tensor, [part[name] for part in parts]) for name, tensor in whole.items()}


def _parts(whole: Tensors, parts: list[Tensors]) -> list[Tensors]:
    """The parts if they, joined, are the whole; none otherwise."""
    try:
        joined = _joined(whole, parts)
    except (RuntimeError, ValueError, IndexError, KeyError):  # other tensors, or other shapes, for one picture
        return []
    return parts if all(torch.equal(joined[name], tensor) for name, tensor in whole.items()) else []

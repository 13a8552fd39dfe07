"""Image tensors of windows that share frames: decode and process each frame only once."""

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
    """Yield (image tensors, "") of each window, or ({}, reason) if it cannot be used.

    shown: frame numbers of each window. pictures_of: returns the pictures of these frames and "", or no pictures and
    what is wrong with one of them. tensors_of: returns a model's image tensors of some pictures.

    Some processors treat each picture separately, some do not. The first window decides, bit by bit: if its tensors
    equal the joined tensors of its single frames, later windows are joined from frames, else each window is processed
    as a whole. Only tensors that a later window needs are kept.
    """
    uses_left = Counter(index for frames in shown for index in frames)
    kept: dict[int, Tensors] = {}
    shapes: Tensors = {}  # the first window's tensors on the meta device, which hold no data
    separable = False
    for frames in shown:
        tensors: Tensors = {}
        if separable:
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
            separable = bool(kept)
        yield tensors, problem
        for index in frames:
            uses_left[index] -= 1
            if not uses_left[index]:
                kept.pop(index, None)


def _joined(whole: Tensors, parts: Sequence[Tensors]) -> Tensors:
    return {name: join_like(tensor, [part[name] for part in parts]) for name, tensor in whole.items()}


def _parts(whole: Tensors, parts: list[Tensors]) -> list[Tensors]:
    """Return the parts if they equal the whole when joined, else an empty list."""
    try:
        joined = _joined(whole, parts)
    except (RuntimeError, ValueError, IndexError, KeyError):  # a single picture has other tensors or shapes
        return []
    return parts if all(torch.equal(joined[name], tensor) for name, tensor in whole.items()) else []

"""Targets from boxes in place of gaze, as controls: of the true object, of the hand, or of a random object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.session.regions import HAND, NoRegions, RegionTrack

Floats = NDArray[np.float64]
REGION_GAZE = ("boxes", "hand", "random_box")  # values of the setting gaze that need boxes in the bag


def named_region(kind: str, regions: RegionTrack, answer_object: str, seed: Sequence[int]) -> str:
    """Return the name of the box that a window's attention is to cover.

    kind: boxes, the object of the window's answer; hand; random_box, any object of the bag, the right one no more often
    than others, so that it says nothing about the answer. answer_object: object_class of the window's label.
    seed: of the draw. Raises NoRegions for a bag without such a box, by its name.
    """
    objects = [name for name in regions.names if name != HAND]
    if kind == "random_box" and objects:
        return objects[int(np.random.default_rng([*seed, 3]).integers(len(objects)))]
    wanted = {"hand": HAND, "random_box": "object"}.get(kind, answer_object)
    if wanted not in regions.names:
        raise NoRegions(
            f"{regions.bag} has no box of {wanted!r}, which gaze: {kind} needs; its boxes are of "
            f"{', '.join(regions.names) or 'nothing'}"
        )
    return wanted


def region_target(
    shown: Sequence[Mapping[str, Floats]], name: str, frame_of_token: NDArray[np.int64], boxes: Floats
) -> Floats:
    """Return (V,) the share of a named box on each visual token of a window; all zero where no frame shows it.

    Each frame that shows it has the same share. shown: boxes on each of the window's frames, name -> (4,) px.
    frame_of_token: (V,). boxes: (V, 4) px of each visual token on its own frame.
    """
    target = np.zeros(len(boxes))
    for frame, regions in enumerate(shown):
        box = regions.get(name)
        if box is None:
            continue
        sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
        covered = np.clip(sides, 0, None).prod(axis=1) * (frame_of_token == frame)
        target += covered / max(covered.sum(), 1e-12)
    return target / max(target.sum(), 1e-12)

"""Boxes of named things in the camera's images, by acquisition time, from a bag that holds them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.bags.reader import open_bag
from gaze_vlm_ros.bags.roles import REGIONS_TYPE, regions_stream
from gaze_vlm_ros.bags.stamps import header_stamp_ns
from gaze_vlm_ros.errors import GazeVlmError

HAND = "hand"  # name of the box around the fingertips
_SAME_IMAGE_NS = 1_000_000  # stamps of an image and of its boxes differ by less


class NoRegions(GazeVlmError):
    """The bag has no boxes of things, or none of that name."""


@dataclass(frozen=True)
class RegionTrack:
    """Boxes of N images in the order of their acquisition."""

    bag: Path
    stamps_ns: NDArray[np.int64]  # (N,) ascending
    boxes: list[dict[str, NDArray[np.float64]]]  # of each image: name -> (4,) x0, y0, x1, y1, px
    image_sizes: list[tuple[int, int]]  # (width, height) px that each image's boxes refer to

    def at(self, stamp_ns: int, size: tuple[int, int]) -> dict[str, NDArray[np.float64]]:
        """Return the boxes of the image with this stamp, px of an image of `size` (width, height); empty if none."""
        if not len(self.stamps_ns):
            return {}
        place = int(np.abs(self.stamps_ns - stamp_ns).argmin())
        if abs(int(self.stamps_ns[place]) - stamp_ns) > _SAME_IMAGE_NS:
            return {}
        scale = np.tile(np.array(size) / np.array(self.image_sizes[place]), 2)
        return {name: box * scale for name, box in self.boxes[place].items()}

    @property
    def names(self) -> list[str]:
        """All names that some image has a box of, sorted."""
        return sorted({name for of_image in self.boxes for name in of_image})


def require_regions(bag: Path | str) -> RegionTrack:
    """Return the boxes in a bag. Raises NoRegions where it has none, and what open_bag raises."""
    opened = open_bag(bag)
    stream = regions_stream(opened)
    if stream is None or not len(stream):
        raise NoRegions(f"{bag} has no boxes of things ({REGIONS_TYPE}); train with gaze: real, or leave the bag out")
    messages = sorted(stream.messages(), key=header_stamp_ns)
    boxes = [
        dict(zip(message.names, np.asarray(message.boxes, float).reshape(-1, 4), strict=True)) for message in messages
    ]
    return RegionTrack(
        Path(bag),
        np.array([header_stamp_ns(message) for message in messages], np.int64),
        boxes,
        [(int(message.image_width), int(message.image_height)) for message in messages],
    )

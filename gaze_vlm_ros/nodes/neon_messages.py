"""ROS messages of what the glasses send."""

from __future__ import annotations

from typing import NamedTuple

STANDARD_GRAVITY_M_S2 = 9.80665


class PictureKind(NamedTuple):
    """One pixel format, by its names."""

    encoding: str  # sensor_msgs/Image
    av_format: str
    in_jpeg: str  # as image_transport writes it into CompressedImage.format
    bytes_per_px: int


COLOUR = PictureKind("rgb8", "rgb24", "bgr8", 3)
GREY = PictureKind("mono8", "gray", "mono8", 1)

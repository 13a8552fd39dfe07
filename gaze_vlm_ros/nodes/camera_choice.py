"""Which of the topics that are published is the camera, and how to subscribe to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gaze_vlm_ros.bags.roles import CAMERA_TYPES
from gaze_vlm_ros.errors import GazeVlmError


class NotACamera(GazeVlmError):
    """The camera topic carries something other than images."""


class Offer(NamedTuple):
    """What one publisher offers."""

    type_name: str
    reliable: bool


class CameraChoice(NamedTuple):
    """A subscription that hears every publisher of a camera."""

    topic: str
    type_name: str
    reliable: bool


def camera_names(topic: str) -> tuple[str, str]:
    """Return the topics that a camera of this name may publish, in order of preference."""
    return topic, f"{topic}/compressed"


def choose_camera(topic: str, offers: Mapping[str, Sequence[Offer]]) -> CameraChoice | None:
    """Choose `topic`, or where nobody publishes it its /compressed; None while nobody publishes either.

    offers: of the publishers of each of `camera_names`. Raises NotACamera.
    """
    for name in camera_names(topic):
        offered = offers.get(name, ())
        types = sorted({offer.type_name for offer in offered})
        if not types:
            continue
        if len(types) > 1 or types[0] not in CAMERA_TYPES[:2]:
            raise NotACamera(
                f"topic {name} carries {' and '.join(types)}, expected {' or '.join(CAMERA_TYPES[:2])}; "
                "set camera_topic to the camera's"
            )
        # A best-effort subscription accepts any camera but loses a third of its 900 KB frames (Fast DDS, one machine,
        # 10 Hz). A reliable one lost none, but accepts only reliable cameras.
        return CameraChoice(name, types[0], all(offer.reliable for offer in offered))
    return None

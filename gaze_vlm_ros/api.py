"""The stable Python API: names that keep their meaning between releases.

    from gaze_vlm_ros import open_bag, open_session, open_backend, patch_distribution

Each name is loaded on first use, so `import gaze_vlm_ros` needs neither numpy nor torch nor ROS. Everything else in
the package may move; CHANGELOG.md lists each change to the names here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.bags.message_types import message_class
    from gaze_vlm_ros.bags.reader import Bag, open_bag
    from gaze_vlm_ros.bags.writer import BagWriter
    from gaze_vlm_ros.errors import GazeVlmError
    from gaze_vlm_ros.gaze.distribution import aggregate, patch_distribution
    from gaze_vlm_ros.gaze.flow import FlowSettings
    from gaze_vlm_ros.prediction.backends.factory import open_backend
    from gaze_vlm_ros.prediction.checkpoint import CheckpointMetadata, read_checkpoint_metadata
    from gaze_vlm_ros.prediction.types import Answer, Backend, Observation
    from gaze_vlm_ros.session.session import Session, open_session
    from gaze_vlm_ros.video.frame_selection import pick_frames
    from gaze_vlm_ros.video.images import encode_jpeg
    from gaze_vlm_ros.vlm.token_boxes import visual_tokens

__all__ = [
    "Answer",
    "Backend",
    "Bag",
    "BagWriter",
    "CheckpointMetadata",
    "FlowSettings",
    "GazeVlmError",
    "Observation",
    "Session",
    "aggregate",
    "encode_jpeg",
    "message_class",
    "open_backend",
    "open_bag",
    "open_session",
    "patch_distribution",
    "pick_frames",
    "read_checkpoint_metadata",
    "visual_tokens",
]

if not TYPE_CHECKING:  # a type checker that saw these functions would take any name for a public one
    __getattr__, __dir__ = lazy_face(
        "gaze_vlm_ros",
        {
            "gaze_vlm_ros.bags.message_types": ["message_class"],
            "gaze_vlm_ros.bags.reader": ["Bag", "open_bag"],
            "gaze_vlm_ros.bags.writer": ["BagWriter"],
            "gaze_vlm_ros.errors": ["GazeVlmError"],
            "gaze_vlm_ros.gaze.distribution": ["aggregate", "patch_distribution"],
            "gaze_vlm_ros.gaze.flow": ["FlowSettings"],
            "gaze_vlm_ros.prediction.backends.factory": ["open_backend"],
            "gaze_vlm_ros.prediction.checkpoint": ["CheckpointMetadata", "read_checkpoint_metadata"],
            "gaze_vlm_ros.prediction.types": ["Answer", "Backend", "Observation"],
            "gaze_vlm_ros.session.session": ["Session", "open_session"],
            "gaze_vlm_ros.video.frame_selection": ["pick_frames"],
            "gaze_vlm_ros.video.images": ["encode_jpeg"],
            "gaze_vlm_ros.vlm.token_boxes": ["visual_tokens"],
        },
    )

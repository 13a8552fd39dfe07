"""Importers: recordings of other programs and data sets as training bags, one module per format. No ROS."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.importers.aria import read_aria
    from gaze_vlm_ros.importers.ego4d import read_ego4d
    from gaze_vlm_ros.importers.egoexo4d import read_egoexo4d
    from gaze_vlm_ros.importers.egtea import read_egtea
    from gaze_vlm_ros.importers.import_summary import ImportSummary
    from gaze_vlm_ros.importers.imported_session import CameraModel, ImportedSession, TimedVideo
    from gaze_vlm_ros.importers.importing import OptionNotTaken, UnknownKind, import_recording, parse_size
    from gaze_vlm_ros.importers.neon import read_neon
    from gaze_vlm_ros.importers.neon_cloud import read_neon_cloud
    from gaze_vlm_ros.importers.session_writer import write_session
    from gaze_vlm_ros.importers.video import BadVideo, TurnedVideo, Video, VideoTooShort, read_video
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.importers.aria": ["read_aria"],
            "gaze_vlm_ros.importers.ego4d": ["read_ego4d"],
            "gaze_vlm_ros.importers.egoexo4d": ["read_egoexo4d"],
            "gaze_vlm_ros.importers.egtea": ["read_egtea"],
            "gaze_vlm_ros.importers.importing": ["OptionNotTaken", "UnknownKind", "import_recording", "parse_size"],
            "gaze_vlm_ros.importers.neon": ["read_neon"],
            "gaze_vlm_ros.importers.neon_cloud": ["read_neon_cloud"],
            "gaze_vlm_ros.importers.import_summary": ["ImportSummary"],
            "gaze_vlm_ros.importers.imported_session": ["CameraModel", "ImportedSession", "TimedVideo"],
            "gaze_vlm_ros.importers.session_writer": ["write_session"],
            "gaze_vlm_ros.importers.video": ["BadVideo", "TurnedVideo", "Video", "VideoTooShort", "read_video"],
        },
    )

__all__ = [
    "BadVideo",
    "CameraModel",
    "ImportSummary",
    "ImportedSession",
    "OptionNotTaken",
    "TimedVideo",
    "TurnedVideo",
    "UnknownKind",
    "Video",
    "VideoTooShort",
    "import_recording",
    "parse_size",
    "read_aria",
    "read_ego4d",
    "read_egoexo4d",
    "read_egtea",
    "read_neon",
    "read_neon_cloud",
    "read_video",
    "write_session",
]

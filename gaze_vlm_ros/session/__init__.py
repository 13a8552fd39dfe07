"""One recorded session: frames, gaze and labels by acquisition time."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.session.gaze_track import GazeTrack, UnclearGaze, points_to_px, read_gaze
    from gaze_vlm_ros.session.label_reading import read_labels
    from gaze_vlm_ros.session.regions import NoRegions, RegionTrack, require_regions
    from gaze_vlm_ros.session.session import (
        NoFrames,
        NoGaze,
        NoLabels,
        Session,
        load_session,
        open_session,
        require_gaze,
        require_labels,
        session_digest,
    )
    from gaze_vlm_ros.session.span import NotOneSession
    from gaze_vlm_ros.session.stored_labels import labels_of_session
    from gaze_vlm_ros.session.timeline import latest_at_or_before, nearest
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.session.gaze_track": ["GazeTrack", "UnclearGaze", "points_to_px", "read_gaze"],
            "gaze_vlm_ros.session.label_reading": ["read_labels"],
            "gaze_vlm_ros.session.regions": ["NoRegions", "RegionTrack", "require_regions"],
            "gaze_vlm_ros.session.session": [
                "NoFrames",
                "NoGaze",
                "NoLabels",
                "Session",
                "load_session",
                "open_session",
                "require_gaze",
                "require_labels",
                "session_digest",
            ],
            "gaze_vlm_ros.session.span": ["NotOneSession"],
            "gaze_vlm_ros.session.stored_labels": ["labels_of_session"],
            "gaze_vlm_ros.session.timeline": ["latest_at_or_before", "nearest"],
        },
    )

__all__ = [
    "GazeTrack",
    "NoFrames",
    "NoGaze",
    "NoLabels",
    "NoRegions",
    "NotOneSession",
    "RegionTrack",
    "Session",
    "UnclearGaze",
    "labels_of_session",
    "latest_at_or_before",
    "load_session",
    "nearest",
    "open_session",
    "points_to_px",
    "read_gaze",
    "read_labels",
    "require_gaze",
    "require_labels",
    "require_regions",
    "session_digest",
]

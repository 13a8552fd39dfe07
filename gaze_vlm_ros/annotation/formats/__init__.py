"""Readers of annotation files, one module per format. They return actions in ROS time."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.annotation.formats.csv_file import UnknownColumnRole, read_csv
    from gaze_vlm_ros.annotation.formats.ego4d import read_ego4d_labels
    from gaze_vlm_ros.annotation.formats.elan import BadElan, UnclearTier, read_elan
    from gaze_vlm_ros.annotation.formats.subtitles import BadSubtitles, WebvttMissing, read_subtitles
    from gaze_vlm_ros.annotation.formats.text_file import WrongEncoding, read_text
    from gaze_vlm_ros.annotation.formats.times import BadTime, VideoTimes, unit_of_values
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.annotation.formats.csv_file": ["UnknownColumnRole", "read_csv"],
            "gaze_vlm_ros.annotation.formats.ego4d": ["read_ego4d_labels"],
            "gaze_vlm_ros.annotation.formats.elan": ["BadElan", "UnclearTier", "read_elan"],
            "gaze_vlm_ros.annotation.formats.subtitles": ["BadSubtitles", "WebvttMissing", "read_subtitles"],
            "gaze_vlm_ros.annotation.formats.text_file": ["WrongEncoding", "read_text"],
            "gaze_vlm_ros.annotation.formats.times": ["BadTime", "VideoTimes", "unit_of_values"],
        },
    )

__all__ = [
    "BadElan",
    "BadSubtitles",
    "BadTime",
    "UnclearTier",
    "UnknownColumnRole",
    "VideoTimes",
    "WebvttMissing",
    "WrongEncoding",
    "read_csv",
    "read_ego4d_labels",
    "read_elan",
    "read_subtitles",
    "read_text",
    "unit_of_values",
]

"""What the recorder decides without ROS: topics, episodes, losses, disk space, keys and tables."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.recorder.bag_session import BagSession, BagSettings, Outcome
    from gaze_vlm_ros.recorder.disk import DiskFull, free_disk_bytes
    from gaze_vlm_ros.recorder.episodes import BadEpisode, is_discarded
    from gaze_vlm_ros.recorder.keyboard import Action, KeyBindings, Keyboard
    from gaze_vlm_ros.recorder.live_statistics import LiveStatistics, is_valid_gaze
    from gaze_vlm_ros.recorder.tables import TopicState, live_line, live_table
    from gaze_vlm_ros.recorder.topics import (
        TopicMissing,
        TopicWait,
        WantedTopic,
        WrongTopicType,
        wanted_topics,
    )
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.recorder.bag_session": ["BagSession", "BagSettings", "Outcome"],
            "gaze_vlm_ros.recorder.disk": ["DiskFull", "free_disk_bytes"],
            "gaze_vlm_ros.recorder.episodes": ["BadEpisode", "is_discarded"],
            "gaze_vlm_ros.recorder.keyboard": ["Action", "KeyBindings", "Keyboard"],
            "gaze_vlm_ros.recorder.live_statistics": ["LiveStatistics", "is_valid_gaze"],
            "gaze_vlm_ros.recorder.tables": ["TopicState", "live_line", "live_table"],
            "gaze_vlm_ros.recorder.topics": [
                "TopicMissing",
                "TopicWait",
                "WantedTopic",
                "WrongTopicType",
                "wanted_topics",
            ],
        },
    )

__all__ = [
    "Action",
    "BadEpisode",
    "BagSession",
    "BagSettings",
    "DiskFull",
    "KeyBindings",
    "Keyboard",
    "LiveStatistics",
    "Outcome",
    "TopicMissing",
    "TopicState",
    "TopicWait",
    "WantedTopic",
    "WrongTopicType",
    "free_disk_bytes",
    "is_discarded",
    "is_valid_gaze",
    "live_line",
    "live_table",
    "wanted_topics",
]

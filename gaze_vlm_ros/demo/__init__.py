"""`gaze-vlm demo`: the whole loop, run as a user would run its parts: nodes and scripts, each its own process."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.demo.device_replay import ReplaySettings, run_device_replay
    from gaze_vlm_ros.demo.workbench import DemoSettings, run_workbench
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.demo.device_replay": ["ReplaySettings", "run_device_replay"],
            "gaze_vlm_ros.demo.workbench": ["DemoSettings", "run_workbench"],
        },
    )

__all__ = [
    "DemoSettings",
    "ReplaySettings",
    "run_device_replay",
    "run_workbench",
]

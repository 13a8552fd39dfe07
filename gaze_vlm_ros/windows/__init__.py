"""Windows: what a session is cut into for training, a question about some frames and its true answer."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.windows.cutting import CutCounts, NoWindows, Window, cut_windows, reasons_text
    from gaze_vlm_ros.windows.settings import BadSettings, WindowSettings, load_window_settings
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.windows.cutting": ["CutCounts", "NoWindows", "Window", "cut_windows", "reasons_text"],
            "gaze_vlm_ros.windows.settings": ["BadSettings", "WindowSettings", "load_window_settings"],
        },
    )

__all__ = [
    "BadSettings",
    "CutCounts",
    "NoWindows",
    "Window",
    "WindowSettings",
    "cut_windows",
    "load_window_settings",
    "reasons_text",
]

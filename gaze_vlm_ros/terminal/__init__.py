"""Text for people at a terminal: a progress line, and values that print safely."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.terminal.status_line import StatusLine
    from gaze_vlm_ros.terminal.text import escaped, escaped_write, instant_text, printable
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.terminal.status_line": ["StatusLine"],
            "gaze_vlm_ros.terminal.text": ["escaped", "escaped_write", "instant_text", "printable"],
        },
    )

__all__ = [
    "StatusLine",
    "escaped",
    "escaped_write",
    "instant_text",
    "printable",
]

"""`gaze-vlm label review`: a web page, served to this machine only, to correct the labels of a bag."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.annotation.review.server import PortTaken, Review, make_app, run_review
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.annotation.review.server": ["PortTaken", "Review", "make_app", "run_review"],
        },
    )

__all__ = [
    "PortTaken",
    "Review",
    "make_app",
    "run_review",
]

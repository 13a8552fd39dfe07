"""Privacy: faces and chosen regions of a bag's pictures made unrecognizable, everything else unchanged. No ROS."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.privacy.anonymize import Anonymized, anonymize_bag
    from gaze_vlm_ros.privacy.blur import hide_boxes
    from gaze_vlm_ros.privacy.face_detector import Face, open_detector
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.privacy.anonymize": ["Anonymized", "anonymize_bag"],
            "gaze_vlm_ros.privacy.blur": ["hide_boxes"],
            "gaze_vlm_ros.privacy.face_detector": ["Face", "open_detector"],
        },
    )

__all__ = ["Anonymized", "Face", "anonymize_bag", "hide_boxes", "open_detector"]

"""Gaze: which samples count, where they are on a frame, and how they spread over patches of it."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.gaze.distribution import aggregate, patch_distribution, scaled
    from gaze_vlm_ros.gaze.fixations import fixating, with_fixations
    from gaze_vlm_ros.gaze.flow import FlowSettings, carry
    from gaze_vlm_ros.gaze.summary import GazeSummary, gaze_summary
    from gaze_vlm_ros.gaze.validity import sample_faults, usable_samples
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.gaze.distribution": ["aggregate", "patch_distribution", "scaled"],
            "gaze_vlm_ros.gaze.fixations": ["fixating", "with_fixations"],
            "gaze_vlm_ros.gaze.flow": ["FlowSettings", "carry"],
            "gaze_vlm_ros.gaze.summary": ["GazeSummary", "gaze_summary"],
            "gaze_vlm_ros.gaze.validity": ["sample_faults", "usable_samples"],
        },
    )

__all__ = [
    "FlowSettings",
    "GazeSummary",
    "aggregate",
    "carry",
    "fixating",
    "gaze_summary",
    "patch_distribution",
    "sample_faults",
    "scaled",
    "usable_samples",
    "with_fixations",
]

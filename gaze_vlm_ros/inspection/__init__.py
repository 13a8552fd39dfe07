"""`gaze-vlm bag info` and `bag check`: what is in a bag, and whether it is fit for training. No ROS needed."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.inspection.arrival_delay import DelayTrend, delay_trend
    from gaze_vlm_ros.inspection.camera_gaze_lag import LagEstimate, estimate_lag
    from gaze_vlm_ros.inspection.check import (
        BagCheck,
        check_bag,
        check_text,
        run_check,
    )
    from gaze_vlm_ros.inspection.finding import Finding
    from gaze_vlm_ros.inspection.info import describe, describe_as_json, summarize
    from gaze_vlm_ros.inspection.summary import BagSummary, TopicSummary
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.inspection.arrival_delay": ["DelayTrend", "delay_trend"],
            "gaze_vlm_ros.inspection.camera_gaze_lag": ["LagEstimate", "estimate_lag"],
            "gaze_vlm_ros.inspection.check": ["BagCheck", "check_bag", "check_text", "run_check"],
            "gaze_vlm_ros.inspection.finding": ["Finding"],
            "gaze_vlm_ros.inspection.info": ["describe", "describe_as_json", "summarize"],
            "gaze_vlm_ros.inspection.summary": ["BagSummary", "TopicSummary"],
        },
    )

__all__ = [
    "BagCheck",
    "BagSummary",
    "DelayTrend",
    "Finding",
    "LagEstimate",
    "TopicSummary",
    "check_bag",
    "check_text",
    "delay_trend",
    "describe",
    "describe_as_json",
    "estimate_lag",
    "run_check",
    "summarize",
]

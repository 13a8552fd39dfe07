"""Measures of gaze against what the model attends to, and what they say about a session of a known task. No ROS."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.assessment.attention_fit import mass_near, percentile, scanpath_saliency, surprise, within_half
    from gaze_vlm_ros.assessment.baseline import (
        BadBaseline,
        Baseline,
        Standing,
        read_baseline,
        standing,
        write_baseline,
    )
    from gaze_vlm_ros.assessment.entropy import areas_of, stationary_entropy, transition_entropy
    from gaze_vlm_ros.assessment.looks import Looks, LookStatistics, look_statistics, looks_of
    from gaze_vlm_ros.assessment.moments import MEASURES, Moments, gaze_at, window_measures
    from gaze_vlm_ros.assessment.objects import looked_at, looked_first_s, time_on
    from gaze_vlm_ros.assessment.pupil import pupil_baseline_mm, pupil_change, pupil_mm
    from gaze_vlm_ros.assessment.sessions import SessionAssessment, assess, attend, fit_elsewhere
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.assessment.baseline": [
                "BadBaseline",
                "Baseline",
                "Standing",
                "read_baseline",
                "standing",
                "write_baseline",
            ],
            "gaze_vlm_ros.assessment.entropy": ["areas_of", "stationary_entropy", "transition_entropy"],
            "gaze_vlm_ros.assessment.looks": ["LookStatistics", "Looks", "look_statistics", "looks_of"],
            "gaze_vlm_ros.assessment.moments": ["MEASURES", "Moments", "gaze_at", "window_measures"],
            "gaze_vlm_ros.assessment.objects": ["looked_at", "looked_first_s", "time_on"],
            "gaze_vlm_ros.assessment.pupil": ["pupil_baseline_mm", "pupil_change", "pupil_mm"],
            "gaze_vlm_ros.assessment.sessions": ["SessionAssessment", "assess", "attend", "fit_elsewhere"],
            "gaze_vlm_ros.assessment.attention_fit": [
                "mass_near",
                "percentile",
                "scanpath_saliency",
                "surprise",
                "within_half",
            ],
        },
    )

__all__ = [
    "MEASURES",
    "BadBaseline",
    "Baseline",
    "LookStatistics",
    "Looks",
    "Moments",
    "SessionAssessment",
    "Standing",
    "areas_of",
    "assess",
    "attend",
    "fit_elsewhere",
    "gaze_at",
    "look_statistics",
    "looked_at",
    "looked_first_s",
    "looks_of",
    "mass_near",
    "percentile",
    "pupil_baseline_mm",
    "pupil_change",
    "pupil_mm",
    "read_baseline",
    "scanpath_saliency",
    "standing",
    "stationary_entropy",
    "surprise",
    "time_on",
    "transition_entropy",
    "window_measures",
    "within_half",
    "write_baseline",
]

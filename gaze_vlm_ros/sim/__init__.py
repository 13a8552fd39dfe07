"""The simulated workbench: a person who takes objects, with frames, gaze and labels. No ROS needed."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.sim.bench_renderer import BenchRenderer
    from gaze_vlm_ros.sim.bench_session import (
        Event,
        FrameEvent,
        GazeEvent,
        LabelEvent,
        Truth,
        simulate,
        truth_track,
        vocabulary,
        write_bag,
    )
    from gaze_vlm_ros.sim.bench_settings import BadBenchSettings, BenchSettings
    from gaze_vlm_ros.sim.truth import Actions, TruthTrack
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.sim.bench_renderer": ["BenchRenderer"],
            "gaze_vlm_ros.sim.bench_session": [
                "Event",
                "FrameEvent",
                "GazeEvent",
                "LabelEvent",
                "Truth",
                "simulate",
                "truth_track",
                "vocabulary",
                "write_bag",
            ],
            "gaze_vlm_ros.sim.bench_settings": ["BadBenchSettings", "BenchSettings"],
            "gaze_vlm_ros.sim.truth": ["Actions", "TruthTrack"],
        },
    )

__all__ = [
    "Actions",
    "BadBenchSettings",
    "BenchRenderer",
    "BenchSettings",
    "Event",
    "FrameEvent",
    "GazeEvent",
    "LabelEvent",
    "Truth",
    "TruthTrack",
    "simulate",
    "truth_track",
    "vocabulary",
    "write_bag",
]

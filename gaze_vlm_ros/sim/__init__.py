"""The simulated workbench: a person who takes objects, with frames, gaze and labels. No ROS needed."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.sim.bench_renderer import BenchRenderer
    from gaze_vlm_ros.sim.bench_session import (
        BadBenchSettings,
        BenchSettings,
        Event,
        FrameEvent,
        GazeEvent,
        LabelEvent,
        Truth,
        simulate,
        vocabulary,
        write_bag,
    )
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.sim.bench_renderer": ["BenchRenderer"],
            "gaze_vlm_ros.sim.bench_session": [
                "BadBenchSettings",
                "BenchSettings",
                "Event",
                "FrameEvent",
                "GazeEvent",
                "LabelEvent",
                "Truth",
                "simulate",
                "vocabulary",
                "write_bag",
            ],
        },
    )

__all__ = [
    "BadBenchSettings",
    "BenchRenderer",
    "BenchSettings",
    "Event",
    "FrameEvent",
    "GazeEvent",
    "LabelEvent",
    "Truth",
    "simulate",
    "vocabulary",
    "write_bag",
]

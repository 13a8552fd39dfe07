"""`gaze-vlm replay`: play a bag through the predictor node and score what it predicted."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.replay.command import (
        BadParameters,
        PlaceTaken,
        PredictorEnded,
        run_replay,
    )
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.replay.command": ["BadParameters", "PlaceTaken", "PredictorEnded", "run_replay"],
        },
    )

__all__ = [
    "BadParameters",
    "PlaceTaken",
    "PredictorEnded",
    "run_replay",
]

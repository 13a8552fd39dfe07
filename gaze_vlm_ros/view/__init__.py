"""`gaze-vlm view`: a bag on screen, as a Rerun recording or as pictures. No ROS needed."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.view.command import run_view
    from gaze_vlm_ros.view.pictures import draw, draw_gaze, save_pictures
    from gaze_vlm_ros.view.scene import (
        GazeOnPicture,
        PredictionTrack,
        gaze_on_picture,
        label_at,
        prediction_tracks,
        summary_of,
    )
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.view.command": ["run_view"],
            "gaze_vlm_ros.view.pictures": ["draw", "draw_gaze", "save_pictures"],
            "gaze_vlm_ros.view.scene": [
                "GazeOnPicture",
                "PredictionTrack",
                "gaze_on_picture",
                "label_at",
                "prediction_tracks",
                "summary_of",
            ],
        },
    )

__all__ = [
    "GazeOnPicture",
    "PredictionTrack",
    "draw",
    "draw_gaze",
    "gaze_on_picture",
    "label_at",
    "prediction_tracks",
    "run_view",
    "save_pictures",
    "summary_of",
]

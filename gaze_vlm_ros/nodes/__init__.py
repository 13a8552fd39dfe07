"""ROS: parameters, QoS, message conversion and wiring, one node a file. No torch until a model loads."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.nodes.child_processes import (
        Child,
        StepFailed,
        node_command,
        private_ros_environment,
        python_command,
        started,
        training_command,
        wait_for_line,
    )
    from gaze_vlm_ros.nodes.dds_transport import NoFreeDomain, use_tested_transport
    from gaze_vlm_ros.nodes.prediction_holds import PredictionHolds
    from gaze_vlm_ros.nodes.prediction_input import PredictionInput
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.nodes.child_processes": [
                "Child",
                "StepFailed",
                "node_command",
                "private_ros_environment",
                "python_command",
                "started",
                "training_command",
                "wait_for_line",
            ],
            "gaze_vlm_ros.nodes.dds_transport": ["NoFreeDomain", "use_tested_transport"],
            "gaze_vlm_ros.nodes.prediction_holds": ["PredictionHolds"],
            "gaze_vlm_ros.nodes.prediction_input": ["PredictionInput"],
        },
    )

__all__ = [
    "Child",
    "NoFreeDomain",
    "PredictionHolds",
    "PredictionInput",
    "StepFailed",
    "node_command",
    "private_ros_environment",
    "python_command",
    "started",
    "training_command",
    "use_tested_transport",
    "wait_for_line",
]

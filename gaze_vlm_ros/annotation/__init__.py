"""Annotation: labels made after the recording, imported, described by a model, reviewed, exported."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from gaze_vlm_ros.annotation.clips import Clip, clips_of
    from gaze_vlm_ros.annotation.cost import CostEstimate, estimate_cost
    from gaze_vlm_ros.annotation.describe_settings import BadDescribeSettings, DescribeSettings, load_describe_settings
    from gaze_vlm_ros.annotation.description import NoModel, describe_bag
    from gaze_vlm_ros.annotation.label_export import export_labels
    from gaze_vlm_ros.annotation.label_import import import_labels
    from gaze_vlm_ros.annotation.placement import (
        NoLabelsFound,
        NothingInTheVideo,
        PlacementSummary,
        labelled_share,
        place_labels,
    )
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "gaze_vlm_ros.annotation.clips": ["Clip", "clips_of"],
            "gaze_vlm_ros.annotation.cost": ["CostEstimate", "estimate_cost"],
            "gaze_vlm_ros.annotation.describe_settings": [
                "BadDescribeSettings",
                "DescribeSettings",
                "load_describe_settings",
            ],
            "gaze_vlm_ros.annotation.description": ["NoModel", "describe_bag"],
            "gaze_vlm_ros.annotation.label_export": ["export_labels"],
            "gaze_vlm_ros.annotation.label_import": ["import_labels"],
            "gaze_vlm_ros.annotation.placement": [
                "NoLabelsFound",
                "NothingInTheVideo",
                "PlacementSummary",
                "labelled_share",
                "place_labels",
            ],
        },
    )

__all__ = [
    "BadDescribeSettings",
    "Clip",
    "CostEstimate",
    "DescribeSettings",
    "NoLabelsFound",
    "NoModel",
    "NothingInTheVideo",
    "PlacementSummary",
    "clips_of",
    "describe_bag",
    "estimate_cost",
    "export_labels",
    "import_labels",
    "labelled_share",
    "load_describe_settings",
    "place_labels",
]

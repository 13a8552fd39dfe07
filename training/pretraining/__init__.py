"""Pretraining: a tiny base model from endless drawn pictures, with no action and no gaze."""

from typing import TYPE_CHECKING

from gaze_vlm_ros.faces import lazy_face

if TYPE_CHECKING:
    from training.pretraining.pictures import Observation, observations
    from training.pretraining.pretraining import base_folder, base_model, nearest_accuracy, pretrain
    from training.pretraining.questions import Turn, nearest, turns, words
    from training.pretraining.settings import BadPretraining, PretrainSettings, Stage, load_pretrain_settings
else:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "training.pretraining.pictures": ["Observation", "observations"],
            "training.pretraining.pretraining": ["base_folder", "base_model", "nearest_accuracy", "pretrain"],
            "training.pretraining.questions": ["Turn", "nearest", "turns", "words"],
            "training.pretraining.settings": [
                "BadPretraining",
                "PretrainSettings",
                "Stage",
                "load_pretrain_settings",
            ],
        },
    )

__all__ = [
    "BadPretraining",
    "Observation",
    "PretrainSettings",
    "Stage",
    "Turn",
    "base_folder",
    "base_model",
    "load_pretrain_settings",
    "nearest",
    "nearest_accuracy",
    "observations",
    "pretrain",
    "turns",
    "words",
]

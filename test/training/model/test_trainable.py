"""Which weights are trained."""

from __future__ import annotations

from gaze_vlm_ros.vlm.tiny import build_tiny
from training.model.trainable import adapted_names, make_trainable
from training.settings import Settings


def test_layers_that_adapters_are_on_are_known_by_name() -> None:
    model, _ = build_tiny("tiny:smolvlm", ["Next?"], hidden=32, image_size=32, text_layers=1)
    settings = Settings(train="lora", lora_targets=("q_proj", "gate_up_proj", "down_proj"), lora_rank=2)
    make_trainable(model, settings)
    assert adapted_names(model, settings) == (["q_proj", "down_proj"], ["gate_up_proj"])

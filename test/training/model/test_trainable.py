"""Which weights are trained."""

from __future__ import annotations

from architectures import located

from gaze_vlm_ros.vlm.tiny import build_tiny
from training.model.trainable import adapted_names, make_trainable
from training.settings import Settings


def test_layers_that_adapters_are_on_are_known_by_name() -> None:
    model, _ = build_tiny("tiny:smolvlm", ["Next?"], hidden=32, image_size=32, text_layers=1)
    settings = Settings(train="lora", lora_targets=("q_proj", "gate_up_proj", "down_proj"), lora_rank=2)
    make_trainable(model, settings)
    assert adapted_names(model, settings) == (["q_proj", "down_proj"], ["gate_up_proj"])


def test_the_usual_targets_miss_layers_that_glm_has_joined() -> None:
    """It has one layer in place of gate_proj and up_proj; a fit notes which targets have no layer."""
    model, _ = located("glm4v")
    settings = Settings(train="lora", lora_rank=2)
    make_trainable(model, settings)
    adapted = ["q_proj", "k_proj", "v_proj", "o_proj", "down_proj"]
    assert adapted_names(model, settings) == (adapted, ["gate_proj", "up_proj"])


def test_the_usual_targets_are_three_names_in_lfm2() -> None:
    """Its convolutions and its other layers have names of their own."""
    from transformers import Lfm2VlConfig, Lfm2VlForConditionalGeneration

    vision = {"model_type": "siglip2_vision_model", "num_patches": 16, "patch_size": 8}
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    layers = {"num_hidden_layers": 2, "layer_types": ["conv", "full_attention"], "num_key_value_heads": 2}
    text = {"model_type": "lfm2", "vocab_size": 64, **layers, **sizes}
    config = Lfm2VlConfig(vision_config=vision | sizes | {"num_hidden_layers": 1}, text_config=text)
    model = Lfm2VlForConditionalGeneration(config)
    settings = Settings(train="lora", lora_rank=2)
    make_trainable(model, settings)
    assert adapted_names(model, settings)[0] == ["q_proj", "k_proj", "v_proj"]

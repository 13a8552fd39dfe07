"""Decoder layers and heads whose attention the gaze regularizer supervises."""

from __future__ import annotations

from typing import Any

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.attention_tap import middle_layers
from gaze_vlm_ros.vlm.cross_attention import looking_layers
from training.settings import Settings


class NoSuchLayer(GazeVlmError):
    """kl_layers names a decoder layer that the model does not have."""


class NoSuchHead(GazeVlmError):
    """kl_heads names an attention head that the model does not have."""


def supervised_layers(model: Any, settings: Settings) -> tuple[int, ...]:
    """Return the decoder layers whose attention is compared with gaze. Raises NoSuchLayer."""
    model = getattr(model, "module", model)  # unwrap DistributedDataParallel
    layers = looking_layers(model)
    if named := settings.named_heads:
        for layer in named:
            if layer not in layers:
                raise NoSuchLayer(
                    f"kl_heads names a head of layer {layer}, and {settings.model} looks at pictures in "
                    f"{_listed(layers)}"
                )
        return tuple(sorted(named))
    for layer in settings.kl_layers:
        if layer not in layers:
            raise NoSuchLayer(f"kl_layers holds {layer}, and {settings.model} looks at pictures in {_listed(layers)}")
    return settings.kl_layers or (layers if settings.kl_heads == "located" else middle_layers(model))


def supervised_heads(model: Any, settings: Settings) -> dict[int, tuple[int, ...]] | None:
    """Return the heads whose mean is compared with gaze, by layer; None = all of the layers. Raises NoSuchHead."""
    if isinstance(settings.kl_heads, str):
        return None
    chosen = settings.named_heads or {
        layer: tuple(head for head in settings.kl_heads if isinstance(head, int))
        for layer in supervised_layers(model, settings)
    }
    heads = getattr(model, "module", model).config.get_text_config().num_attention_heads
    if (largest := max(map(max, chosen.values()))) >= heads:
        raise NoSuchHead(f"kl_heads holds {largest}, and {settings.model} has heads 0 to {heads - 1}")
    return chosen


def _listed(layers: tuple[int, ...]) -> str:
    """Return the layers in words: a range if they are all from 0 on, else a list (cross-attention models)."""
    if layers == tuple(range(len(layers))):
        return f"decoder layers 0 to {layers[-1]}"
    return f"decoder layers {', '.join(map(str, layers))}"

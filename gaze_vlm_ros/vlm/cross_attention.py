"""Models whose text attends to pictures in separate layers, as in Flamingo (arXiv 2204.14198) and Llama 3.2 Vision.

Their visual tokens are the keys of those layers, numbered from the first, and not tokens of the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

# Keywords of decoders for the states that these layers attend to, (pictures, tokens, width).
STATES = ("cross_attention_states", "encoder_hidden_states")
NARRATOR = "vision-encoder-decoder"  # model_type of a narrator's config, see narrator
KEYS_PER_FRAME = "cross_attention_keys"  # attribute of such a model's processor, see observation.note_visual_tokens


def crossing_layers(model: Any) -> tuple[int, ...]:
    """Return the decoder layers that attend only to pictures; none where pictures are tokens of the prompt."""
    text = model.config.get_text_config()
    if getattr(text, "add_cross_attention", False):  # a narrator: each layer attends to text, then to the picture
        return tuple(range(text.num_hidden_layers))
    return tuple(getattr(text, "cross_attention_layers", None) or ())


def states_among(keywords: Mapping[str, Any]) -> Tensor:
    """Return what these layers attend to, among the keywords of such a model's decoder."""
    states: Tensor = next(keywords[name] for name in STATES if name in keywords)
    return states


def looking_layers(model: Any) -> tuple[int, ...]:
    """Return the decoder layers that may attend to visual tokens: not convolutions, nor linear attention."""
    text = model.config.get_text_config()
    kinds = getattr(text, "layer_types", None) or ["attention"] * text.num_hidden_layers
    attending = tuple(
        layer
        for layer, kind in enumerate(kinds[: text.num_hidden_layers])
        if "attention" in kind and "linear" not in kind
    )
    return crossing_layers(model) or attending or tuple(range(text.num_hidden_layers))

"""Models whose text attends to pictures in separate layers, as in Flamingo (arXiv 2204.14198) and Llama 3.2 Vision.

Their visual tokens are the keys of those layers, numbered from the first, and not tokens of the prompt.
"""

from __future__ import annotations

from typing import Any

# Keyword of the decoder for the states that these layers attend to, (pictures, tokens, width).
STATES = "cross_attention_states"
KEYS_PER_FRAME = "cross_attention_keys"  # attribute of such a model's processor, see observation.note_visual_tokens


def crossing_layers(model: Any) -> tuple[int, ...]:
    """Return the decoder layers that attend only to pictures; none where pictures are tokens of the prompt."""
    return tuple(getattr(model.config.get_text_config(), "cross_attention_layers", None) or ())


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

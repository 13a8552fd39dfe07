"""Models whose text attends to pictures in layers of their own, as in Flamingo (arXiv 2204.14198) and Llama 3.2 Vision.

Their visual tokens are the keys of those layers, numbered from the first, and no tokens of the prompt.
"""

from __future__ import annotations

from typing import Any

STATES = "cross_attention_states"  # by this keyword the decoder is given what they attend to: (pictures, tokens, width)
KEYS_PER_FRAME = "cross_attention_keys"  # attribute of such a model's processor, which alone does not know


def crossing_layers(model: Any) -> tuple[int, ...]:
    """Decoder layers that attend to pictures and to nothing else; none where pictures are tokens of the prompt."""
    return tuple(getattr(model.config.get_text_config(), "cross_attention_layers", None) or ())


def looking_layers(model: Any) -> tuple[int, ...]:
    """Decoder layers whose attention may fall on visual tokens."""
    return crossing_layers(model) or tuple(range(model.config.get_text_config().num_hidden_layers))

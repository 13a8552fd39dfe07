"""The paper's other regularizer: an attention block between vision encoder and language model that gaze leads.

arXiv 2510.21356, section 3: one query made of all image patches attends to the patches, KL(gaze ‖ attention) leads it,
and what it gathers goes on to the language model. A model with it is no plain Hugging Face folder: for comparison.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor, nn

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.cross_attention import crossing_layers

_NAME = "gaze_block"  # the attribute of the model, and so the beginning of its weights' names
_FILES = "model*.safetensors"


class NoPlaceForBlock(GazeVlmError):
    """The decoder is not given the visual tokens among those of the prompt."""


class GazeBlock(nn.Module):
    """Multi-head attention from the mean of the visual tokens to each of them; its result is added to all of them."""

    def __init__(self, width: int, heads: int, visual: Tensor) -> None:
        super().__init__()
        self.heads = heads
        self.register_buffer("visual", visual, persistent=False)  # (V,) positions in the prompt
        self.norm = nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        nn.init.zeros_(self.out.weight)  # at first the model is what it was without the block
        nn.init.zeros_(self.out.bias)
        self.log_attention: Tensor | None = None  # (B, V) of the last forward pass, heads averaged

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, V, D) visual tokens to (B, V, D)."""
        normed = self.norm(tokens)
        query, key, value = (
            layer(states).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, states in ((self.query, normed.mean(1, True)), (self.key, normed), (self.value, normed))
        )
        logits = query @ key.transpose(-1, -2) * key.shape[-1] ** -0.5
        self.log_attention = logits.float().softmax(-1).mean(1)[:, 0].clamp(min=1e-12).log()
        gathered = logits.softmax(-1) @ value
        result: Tensor = tokens + self.out(gathered.transpose(1, 2).flatten(2))
        return result


def add_gaze_block(model: Any, visual: Tensor) -> GazeBlock:
    """Put a new block before `model`'s decoder. visual: (V,) positions of the visual tokens in every prompt."""
    config = model.config.get_text_config()
    device = next(model.parameters()).device
    block = GazeBlock(config.hidden_size, config.num_attention_heads, visual).to(device)
    setattr(model, _NAME, block)
    model.get_decoder().register_forward_pre_hook(_before_decoder(block), with_kwargs=True)
    return block


def require_place(model: Any) -> None:
    """Raises NoPlaceForBlock."""
    if layers := crossing_layers(model):
        raise NoPlaceForBlock(
            f"setting gaze_as is 'block', which changes the visual tokens of the prompt, and {type(model).__name__} "
            f"attends to pictures in decoder layers {', '.join(map(str, layers))} alone; use gaze_as: attention"
        )


def gaze_block_of(model: Any) -> GazeBlock | None:
    return getattr(getattr(model, "module", model), _NAME, None)


def load_gaze_block(model: Any, folder: Path, visual: Tensor) -> None:
    """Add the block whose weights lie in a checkpoint's folder, beside those that transformers has read."""
    weights: dict[str, Tensor] = {}
    for path in sorted(folder.glob(_FILES)):
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(f"{_NAME}.")]  # noqa: SIM118  # no mapping
            weights |= {name.removeprefix(f"{_NAME}."): file.get_tensor(name) for name in names}
    block = add_gaze_block(model, visual)
    block.load_state_dict(weights)
    block.to(next(model.parameters()).dtype)


def _before_decoder(block: GazeBlock) -> Any:
    def hook(_module: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        embeds, cache = options.get("inputs_embeds"), options.get("past_key_values")
        if embeds is None or (cache is not None and cache.get_seq_length() > 0):
            return None  # a later pass: the visual tokens were read before
        led = embeds.clone()
        led[:, block.visual] = block(embeds[:, block.visual]).to(embeds.dtype)
        return arguments, options | {"inputs_embeds": led}

    return hook

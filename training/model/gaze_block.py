"""The paper's own variant, for comparison: a gaze-supervised attention block between vision encoder and decoder.

arXiv 2510.21356, section 3: one query, the mean of all image patches, attends to the patches; KL(gaze ‖ attention)
supervises that attention, and its result is added to the patches. A checkpoint with the block is not a plain Hugging
Face folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor, nn

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.cross_attention import crossing_layers

_NAME = "gaze_block"  # attribute of the model, and so the prefix of the block's weights
_FILES = "model*.safetensors"


class NoPlaceForBlock(GazeVlmError):
    """The decoder's prompt does not contain the visual tokens."""


class GazeBlock(nn.Module):
    """Multi-head attention from the mean visual token to all visual tokens; its result is added to each of them."""

    def __init__(self, width: int, heads: int, visual: Tensor) -> None:
        super().__init__()
        self.heads = heads
        self.register_buffer("visual", visual, persistent=False)  # (V,) positions in the prompt
        self.norm = nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        nn.init.zeros_(self.out.weight)  # start as the model without the block
        nn.init.zeros_(self.out.bias)
        self.log_attention: Tensor | None = None  # (B, V) of the last forward pass, mean over heads

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (B, V, D) visual tokens for (B, V, D) visual tokens; keep the log attention."""
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
    """Put a new block before the decoder of `model` and return it.

    visual: (V,) positions of the visual tokens in every prompt.
    """
    config = model.config.get_text_config()
    device = next(model.parameters()).device
    block = GazeBlock(config.hidden_size, config.num_attention_heads, visual).to(device)
    setattr(model, _NAME, block)
    model.get_decoder().register_forward_pre_hook(_before_decoder(block), with_kwargs=True)
    return block


def require_place(model: Any) -> None:
    """Raise NoPlaceForBlock unless the decoder reads visual tokens from the prompt."""
    if layers := crossing_layers(model):
        raise NoPlaceForBlock(
            f"setting gaze_as is 'block', which changes the visual tokens of the prompt, and {type(model).__name__} "
            f"attends to pictures only in decoder layers {', '.join(map(str, layers))}; use gaze_as: attention"
        )


def gaze_block_of(model: Any) -> GazeBlock | None:
    """Return the block of `model`, None if it has none."""
    return getattr(getattr(model, "module", model), _NAME, None)


def load_gaze_block(model: Any, folder: Path, visual: Tensor) -> None:
    """Add the block whose weights are in a checkpoint folder. visual: as in add_gaze_block."""
    weights: dict[str, Tensor] = {}
    for path in sorted(folder.glob(_FILES)):
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(f"{_NAME}.")]  # noqa: SIM118  # not a mapping
            weights |= {name.removeprefix(f"{_NAME}."): file.get_tensor(name) for name in names}
    block = add_gaze_block(model, visual)
    block.load_state_dict(weights)
    block.to(next(model.parameters()).dtype)


def _before_decoder(block: GazeBlock) -> Any:
    def hook(_module: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        embeds, cache = options.get("inputs_embeds"), options.get("past_key_values")
        if embeds is None or (cache is not None and cache.get_seq_length() > 0):
            return None  # a later pass of a generation: the visual tokens are in the cache
        changed = embeds.clone()
        changed[:, block.visual] = block(embeds[:, block.visual]).to(embeds.dtype)
        return arguments, options | {"inputs_embeds": changed}

    return hook

"""The paper's own variant, for comparison: a gaze-supervised attention block between vision encoder and decoder.

arXiv 2510.21356, section 3: one query, the mean of all image patches, attends to the patches; KL(gaze ‖ attention)
supervises that attention, and its result is added to the patches. The patches are the visual tokens of the decoder's
prompt; where a resampler has mixed these (Idefics 2), or the decoder attends to pictures in layers of its own
(Flamingo, narrators), they are what the vision tower puts out. A checkpoint with the block is not a plain Hugging Face
folder.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor, nn

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.patches import Patches, patch_states, vision_tower, with_patch_states

_NAME = "gaze_block"  # attribute of the model, and so the prefix of the block's weights
_FILES = "model*.safetensors"

Place = Tensor | Patches  # (V,) positions of the visual tokens in every prompt, or what the vision tower puts out


class NoPlaceForBlock(GazeVlmError):
    """The vision tower puts out another number of patches than when the block was put there."""


class GazeBlock(nn.Module):
    """Multi-head attention from the mean visual token to all visual tokens; its result is added to each of them."""

    visual: Tensor  # (V,) positions in the prompt, of a block before the decoder

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
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


def add_gaze_block(model: Any, place: Place) -> GazeBlock:
    """Put a new block before the decoder of `model`, or after its vision tower, and return it."""
    config = model.config.get_text_config()
    device = next(model.parameters()).device
    width = config.hidden_size if isinstance(place, Tensor) else place.width
    block = GazeBlock(width, math.gcd(width, config.num_attention_heads)).to(device)
    setattr(model, _NAME, block)
    if isinstance(place, Tensor):
        block.register_buffer("visual", place.to(device), persistent=False)
        model.get_decoder().register_forward_pre_hook(_before_decoder(block), with_kwargs=True)
    else:
        vision_tower(model).register_forward_hook(_after_tower(block, place.total))
    return block


def gaze_block_of(model: Any) -> GazeBlock | None:
    """Return the block of `model`, None if it has none."""
    return getattr(getattr(model, "module", model), _NAME, None)


def load_gaze_block(model: Any, folder: Path, place: Place) -> None:
    """Add the block whose weights are in a checkpoint folder, where the fit had put it."""
    weights: dict[str, Tensor] = {}
    for path in sorted(folder.glob(_FILES)):
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(f"{_NAME}.")]  # noqa: SIM118  # not a mapping
            weights |= {name.removeprefix(f"{_NAME}."): file.get_tensor(name) for name in names}
    block = add_gaze_block(model, place)
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


def _after_tower(block: GazeBlock, count: int) -> Any:
    def hook(_module: nn.Module, _arguments: tuple[Any, ...], output: Any) -> Any:
        states = patch_states(output)
        if states.shape[:-1].numel() % count:
            raise NoPlaceForBlock(
                f"the vision tower gives {states.shape[:-1].numel()} patches, expected {count} for each window; use "
                "frames of the size and number that the block was trained with"
            )
        changed = block(states.reshape(-1, count, states.shape[-1])).reshape(states.shape)  # a window's come together
        return with_patch_states(output, changed.to(states.dtype))

    return hook

"""Read the attention from chosen rows of a decoder to the visual tokens, while the model keeps using SDPA or Flash.

A custom attention function of transformers' AttentionInterface calls the model's own implementation, and also forms
only the logits of (rows x visual tokens). `output_attentions=True` would force eager attention everywhere. A model that
only has eager attention (Gemma 2 caps its logits, which SDPA cannot) keeps using it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.cross_attention import looking_layers
from gaze_vlm_ros.vlm.observation import encode

KEYWORD = "attention_tap"  # keyword argument of forward that carries a tap; checkpointed layers get it too
_PREFIX = "tapped_"
_EAGER = "eager"


class CannotTap(GazeVlmError):
    """The model's attention bypasses transformers' AttentionInterface, or does not pass our keyword on."""


@dataclass
class AttentionTap:
    """What to read in one forward pass, and what was read.

    rows: (B, R) positions, among the tokens of this pass, whose attention is read: those that predict the answer.
    visual: (B, V) or (V,) positions of the visual tokens among the keys: counted from the first token, cached ones
        included, or from the first key of the layers that attend only to pictures.
    layers: decoder layers to read.
    """

    rows: Tensor
    visual: Tensor
    layers: tuple[int, ...]
    _read: dict[int, _Read] = field(default_factory=dict)
    _masks: dict[tuple[int, int], tuple[Tensor | None, Tensor]] = field(default_factory=dict)  # by id: they stay alive
    _attention: dict[int, Tensor] | None = None

    def record(
        self, layer: int, query: Tensor, key: Tensor, scaling: float | None, mask: Tensor | None, softcap: float | None
    ) -> None:
        """Keep the rows of query (B, H, S, D) and the visual tokens of key (B, H', S, D).

        The rest is done for all layers at once, since on a GPU the number of operations costs, not their size.
        """
        batch, heads, _, width = query.shape
        visual = self.visual.expand(batch, -1) if self.visual.ndim == 1 else self.visual
        rows = _gather(query, self.rows).unflatten(1, (key.shape[1], heads // key.shape[1]))
        keys = _gather(key, visual)
        # Activation checkpointing runs the layer again during backward and must find the same operations, but the
        # result of that second run belongs to no loss.
        if self._attention is not None or layer in self._read:
            return
        cached = key.shape[2] - query.shape[2]
        of_mask = (id(mask), cached)
        if of_mask not in self._masks:
            self._masks[of_mask] = mask, _hidden(mask, self.rows, visual, cached)
        self._read[layer] = _Read(rows, keys, width**-0.5 if scaling is None else scaling, softcap, of_mask)

    @property
    def by_layer(self) -> dict[int, Tensor]:
        """(B, H, R, V) log softmax over the visual tokens, for each layer that was read.

        Leaving all other keys out of the softmax conditions on "attention falls on a visual token". Float32, as in the
        eager implementations. A row sees only what the model's mask lets it see.
        """
        if self._attention is None:
            alike: dict[Any, list[int]] = {}
            for layer, read in self._read.items():
                shape = (read.rows.shape, read.keys.shape, read.rows.device)
                alike.setdefault((read.scaling, read.softcap, read.mask, shape), []).append(layer)
            self._attention = {}
            for (scaling, softcap, mask, _), layers in alike.items():
                rows = torch.stack([self._read[layer].rows for layer in layers])
                keys = torch.stack([self._read[layer].keys for layer in layers])
                logits = torch.einsum("lbkgrd,lbkvd->lbkgrv", rows, keys).flatten(2, 3).float() * scaling
                if softcap is not None:
                    logits = softcap * torch.tanh(logits / softcap)
                hidden = self._masks[mask][1][None, :, None].to(logits.device)
                logits = logits.masked_fill(hidden, torch.finfo(torch.float32).min)
                self._attention |= zip(layers, torch.log_softmax(logits, dim=-1), strict=True)
            self._read.clear()
            self._masks.clear()
        return self._attention

    def per_head(self, heads: tuple[int, ...] | None = None) -> Tensor:
        """Return (B, L * H, R, V) log attention of each head of each layer, in the order of `layers`.

        heads: use only these heads of each layer; None = all. Raises CannotTap where a layer was not read.
        """
        by_layer = self.by_layer
        if missing := [layer for layer in self.layers if layer not in by_layer]:
            raise CannotTap(
                f"decoder layers {missing} gave no attention: the model has no such layers, is not prepared "
                "(enable_tap), or does not pass keyword arguments on to its attention, so gaze cannot supervise it"
            )
        chosen = slice(None) if heads is None else list(heads)
        return torch.cat([by_layer[layer][:, chosen].to(self.rows.device) for layer in self.layers], dim=1)

    def log_attention(self, heads: tuple[int, ...] | None = None) -> Tensor:
        """Return (B, R, V) log of the attention averaged over heads (see per_head) and layers; rows sum to one."""
        per_head = self.per_head(heads)
        return torch.logsumexp(per_head, dim=1) - math.log(per_head.shape[1])


@dataclass(frozen=True)
class _Read:
    """Queries and keys of one layer, with rotary embedding applied."""

    rows: Tensor  # (B, H', H / H', R, D) queries
    keys: Tensor  # (B, H', V, D)
    scaling: float
    softcap: float | None
    mask: tuple[int, int]  # key of `_masks`


def enable_tap(model: Any) -> None:
    """Make `model` accept an AttentionTap as the keyword argument `attention_tap` of forward; outputs do not change.

    Raises CannotTap.
    """
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    config = model.config.get_text_config()
    base = config._attn_implementation or "sdpa"
    if base.startswith(_PREFIX):
        return
    name = _PREFIX + base
    if base != _EAGER and base not in ALL_ATTENTION_FUNCTIONS.valid_keys():
        raise CannotTap(f"attention implementation {base!r} cannot be tapped; load the model with sdpa")
    _register(base, name)
    _set_text_attention(model, name)


def require_tap(model: Any, processor: Any, layers: tuple[int, ...]) -> None:
    """Prepare `model` and read `layers` once on a grey picture, so that an unsuitable model fails early.

    Raises CannotTap.
    """
    enable_tap(model)
    encoded = encode(processor, [np.full((224, 224, 3), 128, np.uint8)], "?")
    device = next(model.parameters()).device
    inputs = {name: tensor.to(device) for name, tensor in encoded.inputs.items()}
    rows = torch.tensor([[encoded.length - 1]], device=device)
    tap = AttentionTap(rows, encoded.visual.to(device), looking_layers(model))
    try:
        with torch.no_grad():
            model(**inputs, use_cache=False, **{KEYWORD: tap})
    except TypeError as error:
        raise CannotTap(f"{type(model).__name__} accepts no keyword for its attention ({error})") from None
    heard = sorted(tap.by_layer)
    if not heard:
        raise CannotTap(
            f"{type(model).__name__} does not pass keyword arguments on to the attention of its decoder; its attention "
            "can be neither read nor supervised by gaze"
        )
    if silent := [layer for layer in layers if layer not in heard]:
        raise CannotTap(
            f"decoder layers {silent} of {type(model).__name__} have no attention that can be read; set kl_layers to "
            f"some of {heard}"
        )


def middle_layers(model: Any) -> tuple[int, ...]:
    """Return the middle third of the decoder layers that may attend to visual tokens, at least one layer."""
    layers = looking_layers(model)
    third = len(layers) // 3
    return layers[third : max(len(layers) - third, third + 1)]


def _register(base: str, name: str) -> None:
    """Register attention `base` with a tap as `name` in transformers' interface, which holds it for the process."""
    from transformers import AttentionInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    def tapped(
        module: torch.nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        **options: Any,
    ) -> Any:
        tap: AttentionTap | None = options.pop(KEYWORD, None)
        attention = _eager_of(module) if base == _EAGER else ALL_ATTENTION_FUNCTIONS[base]
        result = attention(module, query, key, value, attention_mask, **options)
        layer = getattr(module, "layer_idx", None)
        if tap is not None and layer in tap.layers:
            tap.record(layer, query, key, options.get("scaling"), attention_mask, options.get("softcap"))
        return result

    AttentionInterface.register(name, tapped)
    AttentionMaskInterface.register(name, ALL_MASK_ATTENTION_FUNCTIONS[base])


def _eager_of(module: torch.nn.Module) -> Callable[..., Any]:
    """Return the eager attention of the module's own model file in transformers. Raises CannotTap."""
    for kind in type(module).__mro__:
        if attention := getattr(sys.modules[kind.__module__], "eager_attention_forward", None):
            return attention
    raise CannotTap(f"{type(module).__name__} has no eager attention of its own; load the model with sdpa")


def _set_text_attention(model: Any, name: str) -> None:
    text_config = model.config.get_text_config()
    key = next((key for key in model.config.sub_configs if getattr(model.config, key, None) is text_config), None)
    try:
        model.set_attn_implementation({key: name} if key else name)
    except (ValueError, AttributeError) as error:
        raise CannotTap(f"{type(model).__name__} does not let its attention be chosen ({error})") from None
    if text_config._attn_implementation != name:
        raise CannotTap(f"{type(model).__name__} does not let the attention of its language model be chosen")


def _gather(states: Tensor, positions: Tensor) -> Tensor:
    """Return (B, H, N, D): states (B, H, S, D) at positions (B, N)."""
    batch, heads, _, width = states.shape
    return states.gather(2, positions[:, None, :, None].expand(batch, heads, -1, width))


def _hidden(mask: Tensor | None, rows: Tensor, visual: Tensor, cached: int) -> Tensor:
    """Return (B, R, V): which visual tokens a row may not see. cached: tokens before the first one of this pass."""
    later = visual[:, None, :] > rows[:, :, None] + cached
    if mask is None:
        return later  # Flash, or SDPA's own causal flag
    if mask.ndim == 2:
        return later | ~mask.bool().gather(1, visual)[:, None, :]  # Flash with padding: (B, S), 1 = a real token
    batch = len(rows)
    mask = mask.expand(batch, -1, -1, -1)
    of_rows = mask.gather(2, rows[:, None, :, None].expand(-1, mask.shape[1], -1, mask.shape[3]))
    seen = of_rows.gather(3, visual[:, None, None, :].expand(-1, mask.shape[1], rows.shape[1], -1))
    hidden = ~seen if seen.dtype == torch.bool else seen < 0
    return hidden[:, 0]

"""Read the attention from chosen rows of a decoder to the visual tokens, while the model keeps using SDPA or Flash.

The attention function that the decoder looks up is replaced by one that calls it and also forms only the logits of
(rows x visual tokens). The model's settings stay as they are, since model code compares them with names.
`output_attentions=True` would force eager attention everywhere. A model that only has eager attention (Gemma 2 caps its
logits, which SDPA cannot) keeps using it.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.cross_attention import crossing_layers, looking_layers
from gaze_vlm_ros.vlm.observation import encode

KEYWORD = "attention_tap"  # keyword argument of forward that carries a tap; checkpointed layers get it too
_EAGER = "eager"
_EAGER_FUNCTION = "eager_attention_forward"  # its name in transformers' model files
_MARK = "attention_tapped"  # attribute of the attention modules of a prepared decoder
_CROSSING = "is_cross_attention"  # attribute of attention modules where a layer has two, as in GPT-2
_TAPS = "taps"  # attribute of an attention function that looks for a tap
# Log attention to a token that a row does not see. Far below any other, and finite, so that its product with 0 is 0.
HIDDEN = float(torch.finfo(torch.float32).min)
LEAST_VISIBLE = -1e30  # any log attention above it is of a token that is seen


class CannotTap(GazeVlmError):
    """The model's attention bypasses transformers' AttentionInterface, or does not pass our keyword on."""


# What decides which visual tokens a row sees: id of the mask, queries, keys, keys that were cut away, window.
_OfMask = tuple[int, int, int, int, int | None]


@dataclass
class AttentionTap:
    """What to read in one forward pass, and what was read.

    rows: (B, R) positions, among the tokens of this pass, whose attention is read: those that predict the answer.
    visual: (B, V) or (V,) positions of the visual tokens among the keys: counted from the first token, cached ones
        included, or from the first key of the layers that attend only to pictures.
    layers: decoder layers to read.
    total: tokens read when this pass ends, cached ones included, which tells how many keys a sliding window has cut
        away; None = no layer cuts keys away.
    """

    rows: Tensor
    visual: Tensor
    layers: tuple[int, ...]
    total: int | None = None
    _read: dict[int, _Read] = field(default_factory=dict)
    _masks: dict[_OfMask, tuple[Tensor | None, Tensor]] = field(default_factory=dict)  # by id: they stay alive
    _attention: dict[int, Tensor] | None = None
    _tokens: int = 0  # of this pass, as the first layers get it

    def pass_layer(self, query: Tensor) -> None:
        """Note how many tokens a layer is given, (B, H, S, D): later ones may be given only the last (Gemma 4)."""
        self._tokens = max(self._tokens, query.shape[2])

    def record(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        scaling: float | None,
        mask: Tensor | None,
        softcap: float | None,
        window: int | None = None,
    ) -> None:
        """Keep the rows of query (B, H, S, D) and the visual tokens of key (B, H', S, D).

        The rest is done for all layers at once, since on a GPU the number of operations costs, not their size.
        window: of a layer that sees only so many tokens, its own included, where `mask` does not say so. Raises
        CannotTap where the layer is not given the rows.
        """
        self.pass_layer(query)
        batch, heads, fresh, width = query.shape
        left_out, cut = self._tokens - fresh, 0 if self.total is None else max(self.total - key.shape[2], 0)
        places = self.rows - left_out
        if left_out and (places < 0).any():
            raise CannotTap(
                f"decoder layer {layer} is given only the last {fresh} of {self._tokens} tokens, and not those whose "
                "attention is read; set kl_layers to earlier layers"
            )
        visual = self.visual.expand(batch, -1) if self.visual.ndim == 1 else self.visual
        keys_at = (visual - cut).clamp(min=0)
        rows = _gather(query, places).unflatten(1, (key.shape[1], heads // key.shape[1]))
        keys = _gather(key, keys_at)
        # Activation checkpointing runs the layer again during backward and must find the same operations, but the
        # result of that second run belongs to no loss.
        if self._attention is not None or layer in self._read:
            return
        of_mask = (id(mask), fresh, key.shape[2], cut, window)
        if of_mask not in self._masks:
            hidden = _hidden(mask, places, keys_at, key.shape[2] - fresh, key.shape[2], window)
            self._masks[of_mask] = mask, hidden | (visual < cut)[:, None]
        self._read[layer] = _Read(rows, keys, width**-0.5 if scaling is None else scaling, softcap, of_mask)

    @property
    def by_layer(self) -> dict[int, Tensor]:
        """(B, H, R, V) log softmax over the visual tokens, for each layer that was read.

        Leaving all other keys out of the softmax conditions on "attention falls on a visual token". Float32, as in the
        eager implementations. A row sees only what the model's mask lets it see: tokens that it does not see have
        HIDDEN, and so have all of a row that sees none.
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
                logits = torch.log_softmax(logits.masked_fill(hidden, HIDDEN), dim=-1).masked_fill(hidden, HIDDEN)
                self._attention |= zip(layers, logits, strict=True)
            self._read.clear()
            self._masks.clear()
        return self._attention

    def at_rows(self, chosen: Tensor) -> AttentionTap:
        """Return a tap of only some of the rows that were read, (C,) numbers of them, whose attention takes less time.

        For use before the attention of all rows was asked for. This tap stays as it is.
        """
        part = AttentionTap(self.rows[:, chosen], self.visual, self.layers, self.total)
        part._read = {layer: replace(read, rows=read.rows[..., chosen, :]) for layer, read in self._read.items()}
        part._masks = {key: (mask, hidden[:, chosen]) for key, (mask, hidden) in self._masks.items()}
        return part

    def per_head(self, heads: Mapping[int, tuple[int, ...]] | None = None) -> Tensor:
        """Return (B, L * H, R, V) log attention of each head of each layer, in the order of `layers`.

        heads: use only these heads, by layer; None = all. Raises CannotTap where a layer was not read.
        """
        by_layer = self.by_layer
        if missing := [layer for layer in self.layers if layer not in by_layer]:
            raise CannotTap(
                f"decoder layers {missing} gave no attention: the model has no such layers, is not prepared "
                "(enable_tap), or does not pass keyword arguments on to its attention, so gaze cannot supervise it"
            )
        chosen = {layer: slice(None) if heads is None else list(heads.get(layer, ())) for layer in self.layers}
        return torch.cat([by_layer[layer][:, chosen[layer]].to(self.rows.device) for layer in self.layers], dim=1)

    def log_attention(self, heads: Mapping[int, tuple[int, ...]] | None = None) -> Tensor:
        """Return (B, R, V) log of the attention averaged over heads (see per_head) and layers; rows sum to one.

        Layers in which a row sees no visual token are not part of its mean; where that is all of them, it has HIDDEN.
        """
        per_head = self.per_head(heads)
        seeing = (per_head.amax(dim=-1, keepdim=True) > LEAST_VISIBLE).sum(dim=1)
        return (torch.logsumexp(per_head, dim=1) - seeing.clamp(min=1).log()).clamp(min=HIDDEN)


@dataclass(frozen=True)
class _Read:
    """Queries and keys of one layer, with rotary embedding applied."""

    rows: Tensor  # (B, H', H / H', R, D) queries
    keys: Tensor  # (B, H', V, D)
    scaling: float
    softcap: float | None
    mask: _OfMask  # key of `_masks`


def enable_tap(model: Any) -> None:
    """Make `model` accept an AttentionTap as the keyword argument `attention_tap` of forward; outputs do not change.

    The attention function in transformers' tables is replaced for the process by one that does the same without a tap.
    Raises CannotTap.
    """
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, AttentionInterface

    base = model.config.get_text_config()._attn_implementation or "sdpa"
    modules = [module for module in model.get_decoder().modules() if getattr(module, "layer_idx", None) is not None]
    files = [sys.modules[kind.__module__] for kind in {kind for module in modules for kind in type(module).__mro__}]
    if base == _EAGER:
        files = [file for file in files if hasattr(file, _EAGER_FUNCTION)]
        if not files:
            raise CannotTap(f"{type(model).__name__} has no eager attention of its own; load the model with sdpa")
        for file in files:
            setattr(file, _EAGER_FUNCTION, _tapping(getattr(file, _EAGER_FUNCTION)))
    elif base not in ALL_ATTENTION_FUNCTIONS.valid_keys():
        raise CannotTap(f"attention implementation {base!r} cannot be tapped; load the model with sdpa")
    else:
        AttentionInterface.register(base, _tapping(ALL_ATTENTION_FUNCTIONS[base]))
        for file in files:  # some have a table of their own
            table = getattr(file, "ALL_ATTENTION_FUNCTIONS", None)
            if isinstance(table, AttentionInterface) and not hasattr(table[base], _TAPS):
                table[base] = _tapping(table[base])
    crossing = bool(crossing_layers(model))
    for module in modules:
        # A narrator's layer attends to text and then to the picture, under one number.
        setattr(module, _MARK, not crossing or not hasattr(module, _CROSSING) or getattr(module, _CROSSING))


def _tapping(attention: Callable[..., Any]) -> Callable[..., Any]:
    """Return an attention function that records for the tap among its keywords, if there is one; else `attention`."""
    if hasattr(attention, _TAPS):
        return attention

    @functools.wraps(attention)
    def tapping(
        module: torch.nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        *given: Any,
        **options: Any,
    ) -> Any:
        tap: AttentionTap | None = options.pop(KEYWORD, None)
        result = attention(module, query, key, value, attention_mask, *given, **options)
        if tap is not None and getattr(module, _MARK, False):
            tap.pass_layer(query)
            layer: Any = getattr(module, "layer_idx", None)
            if layer in tap.layers:
                window = options.get("sliding_window")
                tap.record(layer, query, key, options.get("scaling"), attention_mask, options.get("softcap"), window)
        return result

    setattr(tapping, _TAPS, True)
    return tapping


def require_tap(model: Any, processor: Any, layers: tuple[int, ...]) -> None:
    """Prepare `model` and read `layers` once on a grey picture, so that an unsuitable model fails early.

    Outputs with a tap must be those without: of all tokens and of the last ones, padded on either side, and on top of a
    cache. Raises CannotTap.
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
            + (
                "; gaze_as: block supervises a block on the patches that it attends to"
                if crossing_layers(model)
                else ""
            )
        )
    if silent := [layer for layer in layers if layer not in heard]:
        raise CannotTap(
            f"decoder layers {silent} of {type(model).__name__} have no attention that can be read; set kl_layers to "
            f"some of {heard}"
        )
    for what, found, expected in _outputs(model, inputs, encoded.visual.to(device)):
        off = float((found.double() - expected.double()).abs().max())
        if not off <= 1e-4 * max(1.0, float(expected.double().abs().max())):
            raise CannotTap(
                f"{type(model).__name__} gives other logits while its attention is read ({what}: {off:.2g} off), so it "
                "would be trained on what it does not compute by itself"
            )


@torch.no_grad()
def _outputs(model: Any, inputs: dict[str, Tensor], visual: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield (what is given, logits with a tap, logits without) of one prompt, padded and cut in several ways."""
    length = inputs["input_ids"].shape[1]
    shape = inputs["input_ids"].shape

    def logits(given: dict[str, Tensor], shift: int, tapped: bool, **options: Any) -> tuple[Tensor, Any]:
        last = given["input_ids"].shape[1] - 1
        tap = AttentionTap(torch.tensor([[last]], device=visual.device), visual + shift, looking_layers(model))
        output = model(**given, **options, **({KEYWORD: tap} if tapped else {}))
        return output.logits, output.get("past_key_values")

    def padded(before: int, after: int) -> dict[str, Tensor]:
        pad = torch.nn.functional.pad
        return {name: pad(value, (before, after)) if value.shape == shape else value for name, value in inputs.items()}

    def both(given: dict[str, Tensor], shift: int = 0, **options: Any) -> tuple[Tensor, Tensor]:
        found, expected = (logits(given, shift, tapped, **options)[0] for tapped in (True, False))
        return found, expected

    yield ("all tokens", *both(inputs, use_cache=False))
    yield ("the last two tokens", *both(inputs, use_cache=False, logits_to_keep=2))
    if not crossing_layers(model):  # these have more inputs with a row per token
        found, expected = both(padded(2, 0), 2, use_cache=False)
        yield ("padding on the left", found[:, 2:], expected[:, 2:])
        found, expected = both(padded(0, 2), use_cache=False)
        yield ("padding on the right", found[:, :length], expected[:, :length])
    (first, cache), (second, plain_cache) = (logits(inputs, 0, tapped, use_cache=True) for tapped in (True, False))
    yield ("a cache", first, second)
    token = {"input_ids": inputs["input_ids"][:, -1:]}
    if not crossing_layers(model):  # these need their pictures again
        after = [model(**token, past_key_values=each, use_cache=True).logits for each in (cache, plain_cache)]
        yield ("on top of a cache", *after)


def middle_layers(model: Any) -> tuple[int, ...]:
    """Return the middle third of the decoder layers that may attend to visual tokens, at least one layer."""
    layers = looking_layers(model)
    third = len(layers) // 3
    return layers[third : max(len(layers) - third, third + 1)]


def _gather(states: Tensor, positions: Tensor) -> Tensor:
    """Return (B, H, N, D): states (B, H, S, D) at positions (B, N)."""
    batch, heads, _, width = states.shape
    return states.gather(2, positions[:, None, :, None].expand(batch, heads, -1, width))


def _hidden(mask: Tensor | None, rows: Tensor, visual: Tensor, cached: int, keys: int, window: int | None) -> Tensor:
    """Return (B, R, V): which visual tokens a row may not see.

    rows, visual: places among the queries and keys of this layer, of which the first `cached` precede the queries.
    window: see AttentionTap.record.
    """
    behind = rows[:, :, None] + cached - visual[:, None, :]  # tokens from the visual token to the row
    later = behind < 0
    if mask is None or mask.ndim == 2:  # Flash, or SDPA's own causal flag
        hidden = later if window is None else later | (behind >= window)
        if mask is None:
            return hidden
        return hidden | ~mask[:, -keys:].bool().gather(1, visual)[:, None, :]  # Flash with padding: 1 = a real token
    batch = len(rows)
    mask = mask.expand(batch, -1, -1, -1)
    of_rows = mask.gather(2, rows[:, None, :, None].expand(-1, mask.shape[1], -1, mask.shape[3]))
    seen = of_rows.gather(3, visual[:, None, None, :].expand(-1, mask.shape[1], rows.shape[1], -1))
    hidden = ~seen if seen.dtype == torch.bool else seen < 0
    return hidden[:, 0]

"""Reads a prompt into a model's keys and values: all of it, or what is new behind what was read before."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from gaze_vlm_ros.vlm.attention_tap import KEYWORD, AttentionTap, enable_tap
from gaze_vlm_ros.vlm.observation import Encoded

# Two ways to compute the same log-probability differ by rounding alone, nats; beyond it the quicker is not trusted.
_ROUNDING = {torch.float64: 1e-6, torch.float32: 2e-3}
_ROUNDING_16_BIT = 0.3


def rounding_nats(model: Any) -> float:
    """By how much log-probabilities of `model` may differ between two ways to compute them."""
    return _ROUNDING.get(next(model.parameters()).dtype, _ROUNDING_16_BIT)


@dataclass(frozen=True)
class Prefix:
    """The beginning of a prompt, read already."""

    cache: Any  # keys and values of its tokens; never changed
    length: int  # tokens


@dataclass(frozen=True)
class Prompt:
    """A prompt that the model has read."""

    cache: Any  # keys and values of its tokens; never changed: continue on `copied(cache)`
    length: int  # tokens
    log_probabilities: Tensor  # (vocabulary,) float64, of the token that comes next
    positions: Tensor | None  # (..., 1) what the model takes for the last token's position; None = its number
    visual: Tensor  # (V,) positions of the visual tokens
    carried: Mapping[str, Tensor]  # inputs with a row per token that later tokens need too: (1, 1, ...) of the last
    attention: Tensor | None  # (V,) of the last token; None = not asked for
    reach: Tensor | None  # (length,) the last token that a token or one before it sees; None = none sees later ones


class NotReusable(Exception):
    """The cache of this model cannot be cut at a token."""


@torch.inference_mode()
def read_prompt(
    model: Any,
    encoded: Encoded,
    layers: tuple[int, ...] | None = None,
    features: Any = None,
    prefix: Prefix | None = None,
) -> Prompt:
    """One forward pass over the prompt.

    layers: decoder layers to read the attention of; None = do not. Raises CannotTap.
    features: what the model's get_image_features is to return, in place of running the vision tower.
    prefix: of the same prompt; only what is behind it is read.
    """
    device = next(model.parameters()).device
    inputs = {name: tensor.to(device) for name, tensor in encoded.inputs.items()}
    length = inputs["input_ids"].shape[1]
    visual = encoded.visual.to(device)
    first = prefix.length if prefix else 0
    options: dict[str, Any] = {}
    tap = None
    if layers:
        enable_tap(model)
        rows = torch.tensor([[length - 1 - first]], device=device)
        tap = options[KEYWORD] = AttentionTap(rows, visual, layers)
    positions: list[Tensor | None] = []
    reach: list[Tensor | None] = []

    def decode(forward: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        found = keywords.get("position_ids")
        positions.append(found[..., -1:] if isinstance(found, Tensor) else None)
        reach.append(_reach(keywords.get("attention_mask"), length))
        if prefix:
            keywords = {key: _behind(value, first, length, visual) for key, value in keywords.items()}
            keywords["past_key_values"] = copied(prefix.cache)
            keywords.pop("cache_position", None)
        return forward(*arguments, **keywords)

    with replaced(model.get_decoder(), "forward", decode), image_features(model, features):
        output = model(**inputs, use_cache=True, logits_to_keep=1, **options)
    return Prompt(
        cache=output.past_key_values,
        length=length,
        log_probabilities=output.logits[0, -1].double().log_softmax(dim=-1),
        positions=positions[-1],
        visual=visual,
        carried={
            name: tensor[:, -1:] for name, tensor in inputs.items() if tensor.ndim > 2 and tensor.shape[1] == length
        },
        attention=tap.log_attention()[0, 0].exp() if tap else None,
        reach=reach[-1],
    )


def prefix_of(prompt: Prompt, length: int) -> Prefix:
    """The first `length` tokens of a prompt. Raises NotReusable."""
    if prompt.reach is not None and int(prompt.reach[length - 1]) >= length:
        raise NotReusable("its tokens see later ones")
    cache = copied(prompt.cache)
    for layer in cache.layers:
        if type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer):
            raise NotReusable(f"a layer's memory is a {type(layer).__name__}")
        if not layer.is_initialized:
            continue  # it uses another layer's
        if layer.keys.shape[-2] != prompt.length:
            raise NotReusable("a layer's sliding window is shorter than the prompt")
        layer.keys, layer.values = layer.keys[..., :length, :].clone(), layer.values[..., :length, :].clone()
        if hasattr(layer, "cumulative_length"):
            layer.cumulative_length = length
    return Prefix(cache, length)


def copied(cache: Any) -> Any:
    """A cache to continue on, while the other stays as it is."""
    copy_of = copy.copy(cache)
    # These two grow by torch.cat, so that tensors can be shared; others may write into theirs.
    plain = (DynamicLayer, DynamicSlidingWindowLayer)
    copy_of.layers = [copy.copy(layer) if type(layer) in plain else copy.deepcopy(layer) for layer in copy_of.layers]
    return copy_of


@contextmanager
def replaced(owner: Any, name: str, replacement: Callable[..., Any]) -> Iterator[None]:
    """Within, `owner.name(...)` is `replacement(the original, ...)`. May be nested."""
    original, before = getattr(owner, name), owner.__dict__.get(name)
    owner.__dict__[name] = lambda *arguments, **keywords: replacement(original, *arguments, **keywords)
    try:
        yield
    finally:
        if before is None:
            del owner.__dict__[name]
        else:
            owner.__dict__[name] = before


@contextmanager
def image_features(model: Any, features: Any) -> Iterator[None]:
    """Within, the model's vision tower is not run and `features` are taken for what it gives; None = it is run."""
    if features is None:
        yield
        return
    with replaced(vision_owner(model), "get_image_features", lambda _original, *_, **__: features):
        yield


def vision_owner(model: Any) -> Any:
    """The part of `model` whose get_image_features its forward calls; None where there is no such method."""
    owners = [module for module in model.modules() if hasattr(module, "get_image_features")]
    return owners[-1] if owners else None  # the innermost


def _reach(mask: Any, length: int) -> Tensor | None:
    """See Prompt.reach. mask: what the decoder is given, or a mapping of one for each kind of layer."""
    masks = [
        one
        for one in (mask.values() if isinstance(mask, Mapping) else [mask])
        if isinstance(one, Tensor) and one.shape[-2:] == (length, length)
    ]
    if not masks:
        return None  # the decoder makes its own, which is causal
    seen = [(one if one.dtype == torch.bool else one >= 0).flatten(0, -3).any(dim=0) for one in masks]
    last = (torch.stack(seen).any(dim=0) * torch.arange(length, device=seen[0].device)).amax(dim=-1)
    return last.cummax(dim=0).values


def _behind(value: Any, first: int, length: int, visual: Tensor) -> Any:
    """Of what a decoder is given for `length` tokens, what belongs to those from `first` on.

    Recognized by size: one entry a token, one a visual token, or a mask of (..., tokens, tokens).
    """
    if isinstance(value, Mapping):
        return {key: _behind(entry, first, length, visual) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_behind(entry, first, length, visual) for entry in value)
    if not isinstance(value, Tensor):
        return value
    if value.ndim >= 3 and value.shape[-2:] == (length, length):
        return value[..., first:, :]
    if length in value.shape:
        axis = value.shape.index(length)
        if value.ndim == 2 and not value.is_floating_point() and axis == 1 and bool((value == 1).all()):
            return None  # a mask that hides nothing, of all tokens, cached ones included
        return value.narrow(axis, first, length - first)
    if len(visual) in value.shape:
        axis = value.shape.index(len(visual))
        behind = int((visual >= first).sum())
        return value.narrow(axis, len(visual) - behind, behind)
    return value

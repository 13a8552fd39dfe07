"""Read a prompt into a model's keys and values: all of it, or only what follows a prefix that was read before."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.attention_tap import KEYWORD, AttentionTap, enable_tap
from gaze_vlm_ros.vlm.cross_attention import crossing_layers
from gaze_vlm_ros.vlm.observation import Encoded

# Largest difference, in nats, that rounding causes between two ways to compute the same log-probability. Beyond it the
# quicker way is not trusted.
_ROUNDING = {torch.float64: 1e-6, torch.float32: 2e-3}
_ROUNDING_16_BIT = 0.3


def rounding_nats(model: Any) -> float:
    """Return the largest difference, in nats, that rounding causes between two ways to compute log-probabilities."""
    return _ROUNDING.get(next(model.parameters()).dtype, _ROUNDING_16_BIT)


@dataclass(frozen=True)
class Prefix:
    """The beginning of a prompt that the model has read."""

    cache: Any  # keys and values of its tokens; never changed
    length: int  # tokens


@dataclass(frozen=True)
class Prompt:
    """A prompt that the model has read."""

    cache: Any  # keys and values of its tokens; never changed: continue on `copied(cache)`
    length: int  # tokens
    log_probabilities: Tensor  # (vocabulary,) float64, of the next token
    positions: Tensor | None  # (..., 1) position of the last token, as the model counts; None = its index
    visual: Tensor  # (V,) positions of the visual tokens
    carried: Mapping[str, Tensor]  # (1, 1, ...) last row of inputs with a row per token, for later tokens
    attention: Tensor | None  # (V,) of the last token, all 0 where it sees no visual token; None = not read
    reach: Tensor | None  # (length,) last token seen by a token or one before it; None = causal


class KeepsNothing(GazeVlmError):
    """The model does not keep what it has read, so nothing can be read after it."""


class NotReusable(Exception):
    """The cache of this model cannot be cut at a token; the text says why."""


@torch.inference_mode()
def read_prompt(
    model: Any,
    encoded: Encoded,
    layers: tuple[int, ...] | None = None,
    features: Any = None,
    prefix: Prefix | None = None,
) -> Prompt:
    """Run one forward pass over the prompt. Raises CannotTap, KeepsNothing.

    layers: decoder layers whose attention is read; None = no attention.
    features: result of the model's get_image_features, used in place of running the vision tower.
    prefix: beginning of the same prompt; only the tokens after it are read.
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
        tap = options[KEYWORD] = AttentionTap(rows, visual, layers, None if crossing_layers(model) else length)
    positions: list[Tensor | None] = []
    reach: list[Tensor | None] = []

    def decode(forward: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        found = keywords.get("position_ids")
        positions.append(found[..., -1:] if isinstance(found, Tensor) else None)
        reach.append(_reach(keywords.get("attention_mask"), length))
        if prefix:
            keywords = {key: _tail(value, first, length, visual) for key, value in keywords.items()}
            keywords["past_key_values"] = copied(prefix.cache)
            keywords.pop("cache_position", None)
        return forward(*arguments, **keywords)

    with replaced(model.get_decoder(), "forward", decode), image_features(model, features):
        output = model(**inputs, use_cache=True, logits_to_keep=1, **options)
    if getattr(output, "past_key_values", None) is None:
        raise KeepsNothing(
            f"{type(model).__name__} keeps no keys and values of what it has read, so the answers to a question cannot "
            "be ranked; use another model"
        )
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
    """Return the first `length` tokens of a prompt. Raises NotReusable."""
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
    """Return a copy of a cache to continue on; the original does not change."""
    copy_of = copy.copy(cache)
    # These two kinds grow by torch.cat, so their tensors can be shared; others may write in place.
    plain = (DynamicLayer, DynamicSlidingWindowLayer)
    copy_of.layers = [copy.copy(layer) if type(layer) in plain else copy.deepcopy(layer) for layer in copy_of.layers]
    return copy_of


@contextmanager
def replaced(owner: Any, name: str, replacement: Callable[..., Any]) -> Iterator[None]:
    """Replace the method `owner.name(...)` by `replacement(original, ...)` within the context. May be nested."""
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
    """Use `features` in place of running the model's vision tower within the context; None = run the tower."""
    if features is None:
        yield
        return
    with replaced(vision_owner(model), "get_image_features", lambda _original, *_, **__: features):
        yield


def vision_owner(model: Any) -> Any:
    """Return the part of `model` whose get_image_features its forward calls; None where there is no such method."""
    owners = [module for module in model.modules() if hasattr(module, "get_image_features")]
    return owners[-1] if owners else None  # the innermost


def _reach(mask: Any, length: int) -> Tensor | None:
    """Return Prompt.reach. mask: the decoder's attention mask, or a mapping with one for each kind of layer."""
    masks = [
        one
        for one in (mask.values() if isinstance(mask, Mapping) else [mask])
        if isinstance(one, Tensor) and one.shape[-2:] == (length, length)
    ]
    if not masks:
        return None  # the decoder builds its own causal mask
    seen = [(one if one.dtype == torch.bool else one >= 0).flatten(0, -3).any(dim=0) for one in masks]
    last = (torch.stack(seen).any(dim=0) * torch.arange(length, device=seen[0].device)).amax(dim=-1)
    return last.cummax(dim=0).values


def _tail(value: Any, first: int, length: int, visual: Tensor) -> Any:
    """Cut a decoder input for `length` tokens down to the tokens from `first` on.

    Axes are recognized by size: one entry per token, one per visual token, or a mask of (..., tokens, tokens).
    """
    if isinstance(value, Mapping):
        return {key: _tail(entry, first, length, visual) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_tail(entry, first, length, visual) for entry in value)
    if not isinstance(value, Tensor):
        return value
    if value.ndim >= 3 and value.shape[-2:] == (length, length):
        return value[..., first:, :]
    if length in value.shape:
        axis = value.shape.index(length)
        if value.ndim == 2 and not value.is_floating_point() and axis == 1 and bool((value == 1).all()):
            return None  # a mask over all tokens, cached ones included, that hides nothing
        return value.narrow(axis, first, length - first)
    if len(visual) in value.shape:
        axis = value.shape.index(len(visual))
        count = int((visual >= first).sum())
        return value.narrow(axis, len(visual) - count, count)
    return value

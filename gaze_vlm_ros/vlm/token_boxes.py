"""Locate the pixels behind each visual token of any model by probing processor and model; no table per model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.overrides import TorchFunctionMode

from gaze_vlm_ros.vlm.cross_attention import crossing_layers, states_among
from gaze_vlm_ros.vlm.memory import out_of_memory_reason
from gaze_vlm_ros.vlm.observation import encode
from gaze_vlm_ros.vlm.patches import CannotLocate, patch_states, vision_tower

Floats = NDArray[np.float64]
_NO_ATTENTION = "no_attention"
_RAMP_PX = 64  # a ramp over 64 px has four grey levels per px, so positions are found to a quarter of a pixel


class _PixelSources(NamedTuple):
    """Source pixel of each entry of the model's flattened image tensor; all arrays (E,)."""

    x: Floats  # px in the frame; NaN = padding
    y: Floats
    frame: NDArray[np.int64]  # -1 = padding


def visual_tokens(
    model: Any, processor: Any, frame_size: tuple[int, int], frames: int
) -> tuple[NDArray[np.int64], Floats]:
    """Return (V,) frame index and (V, 4) box x0, y0, x1, y1 of each visual token, in prompt order.

    Boxes are in px of the original frame. A token that sees only padding has frame -1 and an empty box. With tiles and
    an overview several tokens cover the same place, each with a box of its own.

    frame_size: width and height in px. frames: number of frames in the observation.

    Method: ramp images through the real processor show from which pixel each entry of the image tensor comes. Then the
    vision tower's attention is replaced by zeros, so that a token depends only on its own pixels, and the gradient of
    the tokens with respect to the image tensor shows which. Signs tell the tokens apart: in pass b every token's
    gradient is multiplied by +1 or -1 according to bit b of its number, which takes log2(V) backward passes and works
    in any precision. This takes seconds on a CPU; TokenBoxes keeps the result. Raises CannotLocate.
    """
    return _located(model, processor, frame_size, frames, of_tower=False)


def vision_patches(
    model: Any, processor: Any, frame_size: tuple[int, int], frames: int
) -> tuple[NDArray[np.int64], Floats]:
    """Return frame index and box of each token that the vision tower puts out, in its order, like `visual_tokens`.

    They have a place also where a resampler follows that mixes them, or where the decoder attends to pictures in layers
    of its own. Raises CannotLocate.
    """
    return _located(model, processor, frame_size, frames, of_tower=True)


def tokens_have_places(model: Any, processor: Any) -> bool:
    """Return whether the prompt has visual tokens, and each has a place of its own (no resampler)."""
    try:
        visual_tokens(model, processor, (224, 224), 1)
    except CannotLocate:
        return False
    return not crossing_layers(model)


def _located(
    model: Any, processor: Any, frame_size: tuple[int, int], frames: int, of_tower: bool
) -> tuple[NDArray[np.int64], Floats]:
    sources = _pixel_sources(processor, frame_size, frames)
    grey = _picture(np.full(frame_size[::-1], 128.0))
    encoded = encode(processor, [grey] * frames, "?")
    token_of_entry, count = _token_of_entry(model, encoded.inputs, None if of_tower else encoded.visual)
    frame_index = np.full(count, -1, np.int64)
    boxes = np.zeros((count, 4))
    seen = (token_of_entry >= 0) & (sources.frame >= 0)
    order = np.argsort(token_of_entry[seen], kind="stable")
    tokens = token_of_entry[seen][order]
    x, y, frame = sources.x[seen][order], sources.y[seen][order], sources.frame[seen][order]
    starts = np.searchsorted(tokens, np.arange(count + 1))
    for token in range(count):
        own = slice(starts[token], starts[token + 1])
        if own.start == own.stop:
            continue
        frame_index[token] = np.bincount(frame[own]).argmax()
        of_frame = frame[own] == frame_index[token]
        x0, x1 = _extent(x[own][of_frame], frame_size[0])
        y0, y1 = _extent(y[own][of_frame], frame_size[1])
        boxes[token] = x0, y0, x1, y1
    if not (frame_index >= 0).any():
        if of_tower:
            raise CannotLocate(
                f"no patch of {type(model).__name__}'s vision tower depends on any pixel of its frame, except perhaps "
                "through attention; gaze cannot be put on this model's patches"
            )
        raise CannotLocate(
            f"no visual token of {type(model).__name__} depends on any pixel of its frame, except perhaps through "
            "attention (a resampler, as in Idefics 2, gives every token the whole picture); gaze cannot be put on this "
            "model's tokens. gaze_as: block puts it on the patches before the resampler"
        )
    return frame_index, boxes


class TokenBoxes:
    """Visual tokens of one model, located once for each frame size, number of frames and processor settings."""

    def __init__(self, model: Any, processor: Any) -> None:
        self._model, self._processor = model, processor
        self._located: dict[tuple[str, tuple[int, int], int], tuple[NDArray[np.int64], Floats]] = {}

    def locate(self, frame_size: tuple[int, int], frames: int) -> tuple[NDArray[np.int64], Floats]:
        """Return what `visual_tokens` returns, as copies. Raises CannotLocate."""
        key = (str(self._processor.image_processor.to_dict()), frame_size, frames)
        if key not in self._located:
            self._located[key] = visual_tokens(self._model, self._processor, frame_size, frames)
        frame_index, boxes = self._located[key]
        return frame_index.copy(), boxes.copy()


def _extent(centres: Floats, size: float) -> tuple[float, float]:
    """Return the outer edges of entries with these centres: half their spacing beyond the first and the last."""
    low, high = float(centres.min()), float(centres.max())
    columns = len(np.unique(np.round(centres * 2) / 2))
    half = (high - low) / (columns - 1) / 2 if columns > 1 else 0.0
    return max(low - half, 0.0), min(high + half, size)


# Processor: from pixels to entries of the image tensor.


def _picture(grey: Floats) -> NDArray[np.uint8]:
    return np.repeat(np.clip(np.rint(grey), 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def _image_tensor_name(inputs: dict[str, torch.Tensor]) -> str:
    names = [name for name, tensor in inputs.items() if name.startswith("pixel_values") and tensor.is_floating_point()]
    if len(names) != 1:
        raise CannotLocate(f"expected one image tensor from the processor, got {names or list(inputs)}")
    return names[0]


def _pixel_sources(processor: Any, frame_size: tuple[int, int], frames: int) -> _PixelSources:
    width, height = frame_size

    def shown(pictures: list[NDArray[np.uint8]]) -> Floats:
        inputs = encode(processor, pictures, "?").inputs
        return inputs[_image_tensor_name(inputs)].double().flatten().numpy()

    black, white = _picture(np.zeros((height, width))), _picture(np.full((height, width), 255.0))
    dark, bright = shown([black] * frames), shown([white] * frames)
    span = bright - dark  # 0 in padding, and small where padding is blended with the frame
    inside = np.abs(span) > max(0.5 * np.abs(span).max(), 1e-6)

    def level(grey: Floats) -> Floats:
        """Return how bright each entry is when all frames show `grey`, 0 to 1."""
        return (shown([_picture(grey)] * frames) - dark) / np.where(inside, span, 1.0)

    def position(axis: int, size: int) -> Floats:
        # Pixel i covers [i, i + 1) and has its centre at i + 0.5. Each ramp rises only over its own part of the axis.
        centres = np.arange(size) + 0.5
        total = np.zeros(len(dark))
        for start in range(0, size, _RAMP_PX):
            length = min(_RAMP_PX, size - start)
            ramp = 255 * np.clip((centres - start) / length, 0, 1)
            grey = np.broadcast_to(ramp[None, :] if axis == 0 else ramp[:, None], (height, width))
            total += length * level(grey)
        return total

    x, y = position(0, width), position(1, height)
    frame = np.full(len(dark), -1, np.int64)
    for index in range(frames):
        alone = shown([white if i == index else black for i in range(frames)])
        frame[inside & (np.abs(alone - dark) > 0.5 * np.abs(span))] = index
    return _PixelSources(np.where(inside, x, np.nan), np.where(inside, y, np.nan), frame)


# Model: from entries of the image tensor to visual tokens.


def _zero_attention(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any
) -> tuple[torch.Tensor, None]:
    batch, heads, length, _width = query.shape
    return value.new_zeros(batch, length, heads, value.shape[-1]), None


class _ZeroedSdpa(TorchFunctionMode):
    """Lets PyTorch's own attention give zeros, for towers that call it themselves (timm's, in Perception LM)."""

    def __torch_function__(
        self, function: Any, _types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        result = function(*arguments, **(options or {}))
        return torch.zeros_like(result) if function is torch.nn.functional.scaled_dot_product_attention else result


@contextmanager
def no_vision_attention(model: Any) -> Iterator[None]:
    """Let the vision tower's attention give zeros. Raises CannotLocate for a model without such a tower."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(_NO_ATTENTION, _zero_attention)
    AttentionMaskInterface.register(_NO_ATTENTION, lambda *_, **__: None)
    text_config = model.config.get_text_config()
    parts = {}
    for name in model.config.sub_configs:
        part = getattr(model.config, name, None)
        if part is not None and part is not text_config and hasattr(part, "_attn_implementation"):
            parts[name] = part._attn_implementation
    if not parts:
        raise CannotLocate(f"{type(model).__name__} has no vision tower whose attention can be replaced")
    model.set_attn_implementation(dict.fromkeys(parts, _NO_ATTENTION))
    try:
        with _ZeroedSdpa():
            yield
    finally:
        model.set_attn_implementation(parts)


class _Reached(Exception):
    """Raised when the language model is about to run: only its inputs are needed."""


def _token_of_entry(
    model: Any, inputs: dict[str, torch.Tensor], visual: torch.Tensor | None
) -> tuple[NDArray[np.int64], int]:
    """Return (E,) number of the visual token that each entry of the image tensor feeds, -1 = none; number of tokens.

    visual: (V,) positions among the tokens that the decoder is given; None = the tokens that the vision tower puts out.
    """
    name = _image_tensor_name(inputs)
    device = next(model.parameters()).device
    placed = {key: tensor.to(device) for key, tensor in inputs.items()}
    # Noise rather than a flat picture: the gradient of a norm at a constant input can vanish.
    noise = torch.randn(inputs[name].shape, generator=torch.Generator().manual_seed(0))
    pixels = noise.to(device, next(model.parameters()).dtype).requires_grad_(True)
    placed[name] = pixels
    captured: list[torch.Tensor] = []

    def stop(_module: torch.nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        embeddings = keywords.get("inputs_embeds", arguments[0] if arguments else None)
        if crossing_layers(model):
            embeddings = states_among(keywords).flatten(0, -2)[None]
        if embeddings is None:
            raise CannotLocate(f"{type(model).__name__} does not pass embeddings to its language model")
        captured.append(embeddings[0])
        raise _Reached

    def stop_after_tower(_module: torch.nn.Module, _arguments: tuple[Any, ...], output: Any) -> None:
        captured.append(patch_states(output).flatten(0, -2))
        raise _Reached

    hook = (
        vision_tower(model).register_forward_hook(stop_after_tower)
        if visual is None
        else model.get_decoder().register_forward_pre_hook(stop, with_kwargs=True)
    )
    try:
        with no_vision_attention(model), torch.enable_grad():
            try:
                with suppress(_Reached):
                    model(**placed)
            except (RuntimeError, ValueError, IndexError) as error:
                if out_of_memory_reason(error):
                    raise
                reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
                raise CannotLocate(
                    f"{type(model).__name__} cannot read these frames in one prompt ({reason})"
                ) from None
            if not captured:
                raise CannotLocate(f"{type(model).__name__} did not call its language model")
            features = captured[0] if visual is None else captured[0][visual.to(device)]
            return _decode_signs(features, pixels), len(features)
    finally:
        hook.remove()


def _decode_signs(features: torch.Tensor, pixels: torch.Tensor) -> NDArray[np.int64]:
    count, width = features.shape
    direction = torch.randn(width, generator=torch.Generator().manual_seed(1)).to(features)
    score = features @ direction  # (V,) one number per token; no token is orthogonal to a random direction

    def gradient(signs: torch.Tensor) -> Floats:
        (result,) = torch.autograd.grad((score * signs).sum(), pixels, retain_graph=True, materialize_grads=True)
        return result.double().flatten().cpu().numpy()

    numbers = torch.arange(count, device=features.device)
    alone = gradient(torch.ones_like(score))
    strength = np.abs(alone)
    reached = strength > 1e-12 * max(float(strength.max()), 1e-300)
    token = np.zeros(len(alone), np.int64)
    for bit in range(max(count - 1, 1).bit_length()):
        signed = gradient(1.0 - 2.0 * ((numbers >> bit) & 1).to(score))
        token |= (np.sign(signed) * np.sign(alone) < 0).astype(np.int64) << bit
        # An entry that feeds a single token keeps its strength whatever the signs are.
        shared = reached & (np.abs(np.abs(signed) - strength) > 0.05 * strength)
        if shared.sum() > 0.02 * reached.sum():
            raise CannotLocate(
                f"{shared.sum() / reached.sum():.0%} of the image entries feed several visual tokens even without "
                "attention (a resampler, or overlapping convolutions); gaze cannot be put on this model's tokens"
            )
    return np.where(reached & (token < count), token, -1)

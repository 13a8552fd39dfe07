"""The part of a model that reads pictures, and what it puts out: patches before a resampler or cross-attention."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.memory import out_of_memory_reason
from gaze_vlm_ros.vlm.observation import encode


class CannotLocate(GazeVlmError):
    """The model's visual tokens do not each depend on a region of their own."""


class Patches(NamedTuple):
    """What a vision tower puts out for the pictures of one prompt."""

    total: int  # in all pictures together
    width: int


def vision_tower(model: Any) -> torch.nn.Module:
    """Return the vision tower of `model`, by the names that transformers knows. Raises CannotLocate."""
    tower = model.get_encoder("image")
    if not isinstance(tower, torch.nn.Module) or tower is model or tower is model.base_model:
        raise CannotLocate(f"{type(model).__name__} has no vision tower by a name that transformers knows")
    return tower


def patch_states(output: Any) -> Tensor:
    """Return the states that a vision tower puts out, (..., patches, width)."""
    states: Tensor = output[0] if isinstance(output, tuple) else output.last_hidden_state
    return states


def with_patch_states(output: Any, states: Tensor) -> Any:
    """Return what a vision tower puts out with other states in place of its own."""
    if isinstance(output, tuple):
        return (states, *output[1:])
    changed = copy.copy(output)
    changed.last_hidden_state = states
    return changed


def tower_width(model: Any, processor: Any, frame_size: tuple[int, int], frames: int) -> int:
    """Return the width of the last states of the vision tower.

    frame_size: width and height in px. frames: number of frames in the observation. Raises CannotLocate unless the
    model reads these, and what it says depends on those states of each frame.
    """
    device = next(model.parameters()).device
    grey = np.full((frame_size[1], frame_size[0], 3), 128, np.uint8)
    inputs = {name: tensor.to(device) for name, tensor in encode(processor, [grey] * frames, "?").inputs.items()}
    seen: list[Tensor] = []

    def watch(_module: torch.nn.Module, _arguments: tuple[Any, ...], output: Any) -> Any:
        states = patch_states(output).detach()
        # Noise, because the gradient of a norm at a constant input can vanish.
        noise = torch.randn(states.shape, generator=torch.Generator().manual_seed(0))
        seen.append((states + noise.to(states)).requires_grad_())
        return with_patch_states(output, seen[-1])

    one_picture = "if it reads one picture only, set frames: 1; otherwise use another model"
    hook = vision_tower(model).register_forward_hook(watch)
    try:
        with torch.enable_grad():
            said = model(**inputs, use_cache=False).logits[0, -1].float()
            direction = torch.randn(said.shape, generator=torch.Generator().manual_seed(0)).to(device)
            states = seen[-1]
            (gradient,) = torch.autograd.grad(said @ direction, states, materialize_grads=True)
    except (RuntimeError, ValueError, IndexError) as error:
        if out_of_memory_reason(error):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise CannotLocate(
            f"{type(model).__name__} cannot read {frames} frames in one prompt ({reason}); {one_picture}"
        ) from None
    finally:
        hook.remove()
    used = [bool(part.any()) for part in gradient.flatten(0, -2).chunk(frames)]
    if not any(used):
        raise CannotLocate(
            f"what {type(model).__name__} answers does not depend on the last states of its vision tower, so gaze "
            "cannot be put there"
        )
    if not all(used):
        raise CannotLocate(f"{type(model).__name__} looks at {sum(used)} of {frames} frames; {one_picture}")
    return states.shape[-1]

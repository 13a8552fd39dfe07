"""Make a loaded model cheaper for inference, at a price: 8-bit weights, a compiled vision tower."""

from __future__ import annotations

import os
import shutil
from typing import Any

import torch

from gaze_vlm_ros.errors import GazeVlmError

QUANTIZATIONS = ("none", "int8")


class CannotAccelerate(GazeVlmError):
    """A required package or compiler is not installed, or the model has nothing to accelerate."""


def quantize(model: Any, how: str) -> None:
    """Store the weights of linear layers as int8 with one scale per row; activations keep their precision.

    This halves their memory compared with bfloat16. Probabilities change slightly; benchmark/prediction.py prints how
    much.
    how: one of QUANTIZATIONS. Raises CannotAccelerate.
    """
    if how not in QUANTIZATIONS:
        raise CannotAccelerate(f"quantization is {how!r}, expected one of {', '.join(QUANTIZATIONS)}")
    if how == "none":
        return
    try:
        from torchao.quantization import Int8WeightOnlyConfig, quantize_
    except ImportError as error:
        raise CannotAccelerate(
            f"quantization int8 needs torchao ({error}): pip install torchao, or set quantization to none"
        ) from None
    quantize_(model, Int8WeightOnlyConfig())


def compile_vision(model: Any) -> None:
    """Compile the layers of the vision tower with torch.compile, at their first call, which then takes long.

    The decoder is not compiled: its cache changes length with each call, and its attention is read while it runs.
    Raises CannotAccelerate.
    """
    # Without a GPU torch's inductor calls a C++ compiler.
    if next(model.parameters()).device.type == "cpu" and not shutil.which(os.environ.get("CXX", "g++")):
        raise CannotAccelerate("compile needs a C++ compiler, and there is no g++: install it, or set compile to false")
    towers = [module for name, module in model.named_modules() if name.split(".")[-1].startswith("vis")]
    layers = {layer for tower in towers for stack in _stacks(tower) for layer in stack}
    if not layers:
        raise CannotAccelerate(f"{type(model).__name__} has no vision tower of layers to compile; set compile to false")
    for layer in layers:
        layer.compile()


def _stacks(module: torch.nn.Module) -> list[torch.nn.ModuleList]:
    """Return the outermost lists of layers."""
    found: list[torch.nn.ModuleList] = []
    for child in module.children():
        if isinstance(child, torch.nn.ModuleList):
            found.append(child)
        else:
            found += _stacks(child)
    return found

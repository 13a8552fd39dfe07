"""Loads any transformers vision-language model: from a hub, from a folder, or tiny and built on the spot."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.image_processors import images_only, torchvision_works
from gaze_vlm_ros.vlm.tiny import PREFIX, build_tiny


class UnknownModel(GazeVlmError):
    """No model of that name or at that place, or not one that answers questions about images."""


def load_vlm(
    name_or_path: str | Path,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    texts: Sequence[str] = (),
    seed: int = 0,
    **sizes: int,
) -> tuple[Any, Any]:
    """(model, processor), the model in evaluation mode.

    name_or_path: a local folder, a hub name, or "tiny:..." (see vlm.tiny; `texts`, `seed` and `sizes` are for those).
    Raises UnknownModel, UnknownTinyModel, BrokenTorchvision.
    """
    name = str(name_or_path)
    if name.startswith(PREFIX):
        model, processor = build_tiny(name, texts, seed, **sizes)
        return model.to(device=device, dtype=dtype), processor
    if sizes:
        raise UnknownModel(f"model options {', '.join(sizes)} are for tiny models, and {name} has sizes of its own")
    with_torchvision = torchvision_works()
    try:
        config = AutoConfig.from_pretrained(name)
        model = AutoModelForImageTextToText.from_pretrained(name, dtype=dtype, config=config)
        processor = _load_processor(name, config, with_torchvision)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise UnknownModel(f"{_what(name)}: {_first_line(error)}") from None
    return model.to(device).eval(), processor


def _load_processor(name: str, config: Any, with_torchvision: bool) -> Any:
    if with_torchvision:
        return AutoProcessor.from_pretrained(name)
    return images_only(PROCESSOR_MAPPING[type(config)]).from_pretrained(name)


def _what(name: str) -> str:
    if Path(name).is_dir():
        return f"the folder {name} does not hold a vision-language model that loads"
    if os.sep in name and (Path(name).is_absolute() or name.startswith(".") or name.count("/") > 1):
        return f"no such model folder: {name}"
    return f"no vision-language model {name!r}, neither as a folder nor on the hub"


def _first_line(error: Exception) -> str:
    """transformers explains at length; the first sentence says what it is."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__

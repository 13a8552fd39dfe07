"""Tiny models of real architectures, built without a download; their tokenizer is trained on the given texts.

They are the real transformers classes with real processors, small enough to train from scratch on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from gaze_vlm_ros.vlm.broken_torchvision import hide_broken_torchvision
from gaze_vlm_ros.vlm.observation import note_visual_tokens
from gaze_vlm_ros.vlm.tiny_architectures import BUILDERS
from gaze_vlm_ros.vlm.tiny_sizes import UnknownTinyModel, sizes_from

PREFIX = "tiny:"
TINY_MODELS = tuple(PREFIX + name for name in BUILDERS)


def build_tiny(name: str, texts: Sequence[str], seed: int = 0, **sizes: int) -> tuple[Any, Any]:
    """Return (model, processor) of `name`, e.g. "tiny:smolvlm", with random weights drawn with `seed`.

    texts: training texts of the tokenizer; other text still works, in more tokens. sizes: fields of TinySizes.
    Hides a torchvision that does not import. Raises UnknownTinyModel.
    """
    builder = BUILDERS.get(name.removeprefix(PREFIX))
    if builder is None:
        known = ", ".join(PREFIX + key for key in BUILDERS)
        raise UnknownTinyModel(f"no tiny model {name!r}; there are {known}")
    chosen = sizes_from(sizes)
    hide_broken_torchvision()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model, processor = builder(texts, chosen)
    note_visual_tokens(model, processor)
    return model, processor

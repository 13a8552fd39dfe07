"""Sentence embeddings of any transformers text encoder: the mean of its last layer over tokens, normalized to length 1.

The same as sentence-transformers' all-MiniLM-L6-v2: https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.broken_torchvision import hide_broken_torchvision
from gaze_vlm_ros.vlm.foreign_code import NO_FOREIGN_CODE

Embed = Callable[[Sequence[str]], NDArray[np.float64]]  # texts -> (N, D), rows of length 1
_BATCH = 64


class UnknownEmbeddingModel(GazeVlmError):
    """No text encoder has that name, or it does not load."""


def load_embedder(name: str) -> Embed:
    """Load a text encoder and return its embedding function. name: a folder or a hub name.

    Hides a torchvision that does not import. Raises UnknownEmbeddingModel.
    """
    hide_broken_torchvision()
    from transformers import AutoModel, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **NO_FOREIGN_CODE)
        model = AutoModel.from_pretrained(name, **NO_FOREIGN_CODE).eval()
    except (OSError, ValueError, KeyError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise UnknownEmbeddingModel(f"embedding_model {name!r} does not load: {first}") from None

    @torch.inference_mode()
    def embed(texts: Sequence[str]) -> NDArray[np.float64]:
        parts = []
        for start in range(0, len(texts), _BATCH):
            tokens = tokenizer(list(texts[start : start + _BATCH]), padding=True, truncation=True, return_tensors="pt")
            mask = tokens["attention_mask"][:, :, None]
            mean = (model(**tokens).last_hidden_state * mask).sum(dim=1) / mask.sum(dim=1)
            parts.append(torch.nn.functional.normalize(mean.double(), dim=1).numpy())
        return np.concatenate(parts)

    return embed

"""One batch of windows as the model takes it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

IGNORED = -100  # where answer_tokens hold no token


@dataclass(frozen=True)
class Batch:
    """B windows, each with its answer appended to the prompt, padded on the right: one forward pass."""

    inputs: dict[str, torch.Tensor]  # as the model takes them
    answer_tokens: torch.Tensor  # (B, A) int64, the end token included; IGNORED behind it
    visual: torch.Tensor  # (V,) positions of the visual tokens in input_ids
    frame_of_token: torch.Tensor  # (V,) int64
    gaze: torch.Tensor  # (B, V) float32, rows sum to 1; a row of zeros = no usable gaze

    @property
    def size(self) -> int:
        return len(self.answer_tokens)

    def to(self, device: str) -> Batch:
        return Batch(
            {name: tensor.to(device) for name, tensor in self.inputs.items()},
            self.answer_tokens.to(device),
            self.visual.to(device),
            self.frame_of_token.to(device),
            self.gaze.to(device),
        )

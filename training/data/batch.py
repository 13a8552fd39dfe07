"""One batch of windows, ready for a forward pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch

IGNORED = -100  # in answer_tokens: padding, which the loss skips


@dataclass(frozen=True)
class Batch:
    """B windows, each with its answer appended to the prompt, padded on the right."""

    inputs: dict[str, torch.Tensor]  # keyword arguments of the model's forward pass
    answer_tokens: torch.Tensor  # (B, A) int64, end token included, padded with IGNORED
    visual: torch.Tensor  # (V,) positions of the visual tokens in input_ids
    frame_of_token: torch.Tensor  # (V,) int64
    gaze: torch.Tensor  # (B, V) float32; each row sums to 1, or is all zero where no gaze is usable

    @property
    def size(self) -> int:
        """Number of windows, B."""
        return len(self.answer_tokens)

    def to(self, device: str) -> Batch:
        """Return the batch with every tensor on `device`."""
        return Batch(
            {name: tensor.to(device) for name, tensor in self.inputs.items()},
            self.answer_tokens.to(device),
            self.visual.to(device),
            self.frame_of_token.to(device),
            self.gaze.to(device),
        )

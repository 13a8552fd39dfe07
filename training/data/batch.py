"""One batch of windows, ready for a forward pass."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

IGNORED = -100  # in answer_tokens: padding, which the loss skips


@dataclass(frozen=True)
class WhenTokens:
    """Where answers of the stream say when: all answers are alike up to one position, and differ in it by their part.

    The probability of a part of the horizon, over all actions, is that of its token at that position. So the likelihood
    of a censored window needs no more than one pass, and the sampling of parts can be corrected by adding to logits.
    """

    position: int  # in the answers
    tokens: torch.Tensor  # (K + 1,) of each part of the horizon, and of nothing
    # (B, K + 1) share of each part that can still be true in a right-censored window; a row of zeros = not censored
    remaining: torch.Tensor
    # (K + 1,) log of the share of each in the windows to train on over its share in the stream (logit adjustment,
    # Menon et al. 2021); zeros = they are those of the stream
    adjustment: torch.Tensor


@dataclass(frozen=True)
class NextTokens:
    """What a teacher says of the next token at each position of the true answers, see model.distillation."""

    tokens: torch.Tensor  # (K,) those that answers have
    shares: torch.Tensor  # (B, A, K) sum to 1; zeros at padding and for windows that are not taught


@dataclass(frozen=True)
class Batch:
    """B windows, each with its answer appended to the prompt, padded on the right."""

    inputs: dict[str, torch.Tensor]  # keyword arguments of the model's forward pass
    answer_tokens: torch.Tensor  # (B, A) int64, end token included, padded with IGNORED
    visual: torch.Tensor  # (V,) positions of the visual tokens in input_ids
    frame_of_token: torch.Tensor  # (V,) int64
    gaze: torch.Tensor  # (B, V) float32; each row sums to 1, or is all zero where no gaze is usable
    when: WhenTokens | None = None  # of windows of the stream
    taught: NextTokens | None = None  # of windows with a teacher
    left_out: torch.Tensor | None = None  # (V,) bool: visual tokens that the regularizer leaves out; None = none

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
            self.when
            and replace(
                self.when,
                tokens=self.when.tokens.to(device),
                remaining=self.when.remaining.to(device),
                adjustment=self.when.adjustment.to(device),
            ),
            self.taught and NextTokens(self.taught.tokens.to(device), self.taught.shares.to(device)),
            None if self.left_out is None else self.left_out.to(device),
        )

"""Two more tasks of pretraining, about places: what lies on each visual token, and where answers attend.

They leave nothing in the checkpoint.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from gaze_vlm_ros.sim.bench_scene import OBJECTS, VIEW_WIDTH
from training.pretraining.pictures import Observation

_THING, _TIPS = 40.0, 30.0  # half the side of the square that counts as a thing's and as the fingertips', units


class LocatingHead(nn.Module):
    """Linear, from what the decoder gets of each visual token of the last frame to things and fingertips on it."""

    def __init__(self, model: Any, boxes: NDArray[np.float64], width: int) -> None:
        """boxes: (V, 4) of the visual tokens of one frame, px of a frame `width` px wide, see vlm.visual_tokens."""
        super().__init__()
        self.boxes = boxes * (VIEW_WIDTH / width)  # units
        self.linear = nn.Linear(model.config.get_text_config().hidden_size, len(OBJECTS) + 1)
        self.embedded: Tensor | None = None

    @contextlib.contextmanager
    def watching(self, model: Any) -> Iterator[None]:
        """Read in each pass of `model` within the block what its decoder gets."""
        hook = model.get_decoder().register_forward_pre_hook(self._keep, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()

    def _keep(self, _module: nn.Module, _arguments: Any, options: dict[str, Any]) -> None:
        self.embedded = options["inputs_embeds"]

    def loss(self, coverage: Tensor, visual: Tensor) -> Tensor:
        """Return the mean binary cross-entropy in the last pass, nats.

        coverage: see `coverage`. visual: positions of all visual tokens of the pass.
        """
        assert self.embedded is not None
        logits = self.linear(self.embedded[:, visual[-len(self.boxes) :]])
        return F.binary_cross_entropy_with_logits(logits, coverage)

    def coverage(self, seen: Sequence[Observation]) -> Tensor:
        """Return (B, tokens, objects + 1) which share of each token's box things and fingertips cover."""
        view = np.array([VIEW_WIDTH, VIEW_WIDTH * 3 / 4])
        centres = np.stack([np.vstack([one.places, one.hand]) for one in seen]) * view  # (B, objects + 1, 2)
        half = np.array([_THING] * len(OBJECTS) + [_TIPS])[:, None]
        low = np.maximum((centres - half)[:, None], self.boxes[None, :, None, :2])
        high = np.minimum((centres + half)[:, None], self.boxes[None, :, None, 2:])
        sides = self.boxes[:, 2:] - self.boxes[:, :2]
        covered = np.clip(high - low, 0, None).prod(axis=-1) / sides.prod(axis=-1)[None, :, None]
        covered[..., -1] *= np.array([one.hand_seen for one in seen])[:, None]
        return torch.from_numpy(covered.astype(np.float32))


def attention_loss(log_attention: Tensor, coverage: Tensor, about: Tensor) -> Tensor:
    """Return the mean KL(place ‖ attention) over the answers' tokens, nats: attention is to cover the thing.

    log_attention: (B, R, V) of the answers' rows to all visual tokens, the last frame's last.
    coverage: (B, tokens, objects + 1) of the last frame. about: (B, R), -1 = padding.
    """
    tokens = coverage.shape[1]
    place = coverage.transpose(1, 2).gather(1, about.clamp(min=0)[..., None].expand(-1, -1, tokens))
    share = place / place.sum(dim=-1, keepdim=True).clamp(min=1e-9)
    counts = ((about >= 0) & (place.sum(dim=-1) > 0)).to(share)
    # A row before the pictures sees no visual token; it is only padding here.
    log_attention = log_attention[..., -tokens:].masked_fill(counts[..., None] == 0, 0.0)
    kl = (torch.xlogy(share, share) - share * log_attention).sum(dim=-1)
    return (kl * counts).sum() / counts.sum().clamp(min=1)

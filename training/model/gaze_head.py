"""Gaze as a second task: a head predicts it from the decoder's states of the visual tokens. Only training has it.

An auxiliary task on shared features (Caruana 1997), where attention is left free: the features learn where people look,
and the exported checkpoint is the plain model without the head.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.cross_attention import crossing_layers

_NAME = "gaze_head"  # attribute of the model


class NoPlaceForHead(GazeVlmError):
    """The decoder's prompt does not contain the visual tokens."""


class GazeHead(nn.Module):
    """Linear, from the last state of each visual token to one logit; a softmax over them predicts gaze."""

    def __init__(self, width: int, visual: Tensor) -> None:
        super().__init__()
        self.visual: Tensor
        self.register_buffer("visual", visual, persistent=False)  # (V,) positions in the prompt
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, 1)
        self.log_gaze: Tensor | None = None  # (B, V) of the last forward pass
        self.reading: RemovableHandle | None = None  # hook on the decoder

    def forward(self, states: Tensor) -> Tensor:
        """Return (B, V) log-probabilities for (B, S, D) states of the whole sequence, and keep them."""
        logits: Tensor = self.linear(self.norm(states[:, self.visual].float()))[..., 0]
        self.log_gaze = logits.log_softmax(dim=-1)
        return self.log_gaze


def add_gaze_head(model: Any, visual: Tensor) -> GazeHead:
    """Put a new head after the decoder of `model` and return it. visual: (V,) positions in every prompt."""
    device = next(model.parameters()).device
    head = GazeHead(model.config.get_text_config().hidden_size, visual).to(device)
    setattr(model, _NAME, head)
    head.reading = model.get_decoder().register_forward_hook(_after_decoder(head))
    return head


def require_states(model: Any) -> None:
    """Raise NoPlaceForHead unless the decoder reads visual tokens from the prompt."""
    if layers := crossing_layers(model):
        raise NoPlaceForHead(
            f"setting gaze_as is 'head', which reads the decoder's states of visual tokens, and {type(model).__name__} "
            f"attends to pictures only in decoder layers {', '.join(map(str, layers))}; use gaze_as: attention"
        )


def gaze_head_of(model: Any) -> GazeHead | None:
    """Return the head of `model`, None if it has none."""
    head: GazeHead | None = getattr(getattr(model, "module", model), _NAME, None)
    return head


def remove_gaze_head(model: Any) -> None:
    """Take the head of `model` away, if it has one: what stays is the plain model."""
    head = gaze_head_of(model)
    if head is not None:
        if head.reading is not None:
            head.reading.remove()
        delattr(model, _NAME)


def _after_decoder(head: GazeHead) -> Any:
    def hook(_module: nn.Module, _arguments: tuple[Any, ...], output: Any) -> None:
        states = output[0] if isinstance(output, tuple) else output.last_hidden_state
        if states.shape[1] > int(head.visual.max()):  # not a later pass of a generation
            head(states)

    return hook

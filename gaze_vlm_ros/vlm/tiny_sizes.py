"""Sizes of tiny models."""

from __future__ import annotations

from dataclasses import dataclass

from gaze_vlm_ros.errors import GazeVlmError


class UnknownTinyModel(GazeVlmError):
    """No tiny model has this name or these sizes."""


@dataclass(frozen=True)
class TinySizes:
    """Sizes of a tiny model. The defaults train in minutes on one core."""

    image_size: int = 96  # px, the side of the square that every frame becomes
    patch_size: int = 8  # px
    merge: int = 2  # patches per visual token, along each side
    vision_layers: int = 2
    text_layers: int = 4
    hidden: int = 96  # of both towers
    heads: int = 4
    key_value_heads: int = 2  # fewer than heads: grouped-query attention, as in the real models
    tiles: int = 1  # most tiles per frame, besides an overview, where the processor cuts frames; 1 = not cut
    vocabulary: int = 512  # most tokens; byte-level BPE needs 256 for the bytes

    def __post_init__(self) -> None:
        for size, part in (("image_size", self.patch_size * self.merge), ("hidden", 4 * self.heads)):
            if getattr(self, size) % part or getattr(self, size) <= 0:
                raise UnknownTinyModel(
                    f"{size} of a tiny model is {getattr(self, size)}, expected a multiple of {part}"
                )

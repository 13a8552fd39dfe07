"""Sizes of tiny models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
        for name in self.__dataclass_fields__:
            value, least = getattr(self, name), 257 if name == "vocabulary" else 1
            if type(value) is not int or value < least:
                raise UnknownTinyModel(f"{name} of a tiny model is {value!r}, expected a whole number from {least} on")
        multiples = {
            "image_size": self.patch_size * self.merge, "hidden": 4 * self.heads, "heads": self.key_value_heads,
        }  # fmt: skip
        for size, part in multiples.items():
            if getattr(self, size) % part:
                raise UnknownTinyModel(
                    f"{size} of a tiny model is {getattr(self, size)}, expected a multiple of {part}"
                )


def sizes_from(options: Mapping[str, Any]) -> TinySizes:
    """Return the default sizes with some changed, name -> value. Raises UnknownTinyModel for a bad name or value."""
    if unknown := [str(name) for name in options if name not in TinySizes.__dataclass_fields__]:
        known = ", ".join(TinySizes.__dataclass_fields__)
        raise UnknownTinyModel(f"no size of a tiny model is called {', '.join(unknown)}; there are {known}")
    return TinySizes(**options)

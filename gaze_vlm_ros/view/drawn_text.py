"""Text in the strip below a picture."""

from __future__ import annotations

import unicodedata

import cv2
import numpy as np

from gaze_vlm_ros.video.images import RGB

Colour = tuple[int, int, int]  # RGB

# OpenCV 5 draws any script; older versions only have ASCII letters.
_DRAWS_UNICODE = int(cv2.__version__.split(".")[0]) >= 5
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def _drawable(text: str) -> str:
    if _DRAWS_UNICODE:
        return text
    bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return bare.encode("ascii", "replace").decode()


def text_width(text: str, unit: float) -> int:
    """Return the width of a text, px. unit: 1 for letters of a picture 640 px wide."""
    (width, _), _ = cv2.getTextSize(_drawable(text), _FONT, 0.5 * unit, max(1, round(unit)))
    return int(width)


def cut(text: str, width: int, unit: float) -> str:
    """Return the beginning of the text that fits into `width` px."""
    if text_width(text, unit) <= width:
        return text
    fits = next((n for n in range(len(text) - 1, 0, -1) if text_width(f"{text[:n].rstrip()}...", unit) <= width), 0)
    return f"{text[:fits].rstrip()}..." if fits else ""


def write(strip: RGB, text: str, at: tuple[int, int], line: int, colour: Colour, unit: float) -> None:
    """Write text in a line of the strip: at (left, top) px, `line` px high."""
    baseline = at[1] + round(0.72 * line)
    cv2.putText(strip, _drawable(text), (at[0], baseline), _FONT, 0.5 * unit, colour, max(1, round(unit)), cv2.LINE_AA)


def blank(height: int, width: int, colour: Colour | int) -> RGB:
    """Return a picture of one colour, (height, width, 3)."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = colour
    return picture


def write_chip(strip: RGB, word: str, colour: Colour, left: int, top: int, line: int, unit: float) -> int:
    """Write a word on its colour. Return the right edge, px."""
    pad = round(6 * unit)
    right = left + text_width(word, unit) + 2 * pad
    cv2.rectangle(strip, (left, top), (right, top + line), colour, cv2.FILLED)
    write(strip, word, (left + pad, top), line, (255, 255, 255), unit)
    return right

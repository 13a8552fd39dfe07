"""A figure as bytes, and as part of an HTML page. Draws without a display: pyplot and its backends are not used."""

from __future__ import annotations

import base64
import io

from matplotlib.figure import Figure

DPI = 110


def png(figure: Figure) -> bytes:
    """Return the figure as a PNG file, cropped to what is drawn."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight")
    return buffer.getvalue()


def embedded(image: bytes) -> str:
    """Return a PNG as a data URI, for the `src` of an image in an HTML page that needs no other file."""
    return "data:image/png;base64," + base64.b64encode(image).decode()

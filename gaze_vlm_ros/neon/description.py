"""What the phone says about one stream before it sends: the part of its SDP that a receiver needs."""

from __future__ import annotations

import base64
import binascii
import contextlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Description:
    """One medium of a session description (RFC 4566)."""

    encoding: str  # lower case
    clock_rate_hz: int
    payload_type: int
    parameters: dict[str, Any]  # of the format (fmtp), such as sprop-parameter-sets


def sound_config(description: Description) -> bytes:
    """Return the AudioSpecificConfig of an AAC stream (RFC 3640 4.1), empty where the description has none."""
    with contextlib.suppress(ValueError, TypeError):
        return bytes.fromhex(description.parameters.get("config", ""))
    return b""


def parameter_sets(description: Description) -> list[bytes]:
    """Return SPS and PPS of an H.264 stream (RFC 6184 8.1), empty where the description has none."""
    with contextlib.suppress(binascii.Error, AttributeError):
        texts = description.parameters.get("sprop-parameter-sets", "").split(",")
        return [unit for text in texts if (unit := base64.b64decode(text))]
    return []

"""Change the picture inside a serialized image message, and no other byte of it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.video.stills import still_kind

JPEG_QUALITY = 90  # as elsewhere in this package
# sensor_msgs/Image encodings whose pixels lie as they are; others are refused by name.
_PACKED = {
    "rgb8": (np.uint8, 3), "bgr8": (np.uint8, 3), "rgba8": (np.uint8, 4), "bgra8": (np.uint8, 4),
    "mono8": (np.uint8, 1), "8UC1": (np.uint8, 1), "8UC3": (np.uint8, 3), "mono16": (np.uint16, 1),
}  # fmt: skip
_MOSAICS = ("bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8")
Change = Callable[[NDArray[Any], bool], None]  # of pixels in place; True for a mosaic


class NotChangeable(GazeVlmError):
    """A picture is in a form that cannot be changed here."""


def changed_message(raw: bytes, message: Any, topic: str, change: Change) -> bytes:
    """Return the serialized (CDR) message `raw` with its picture changed.

    message: the same, decoded: sensor_msgs Image or CompressedImage. Raises NotChangeable.
    """
    old = bytes(np.asarray(message.data, np.uint8))
    new = _raw(message, old, topic, change) if hasattr(message, "encoding") else _still(message, old, topic, change)
    return _with_data(raw, old, new, topic)


def emptied_message(raw: bytes, message: Any, topic: str) -> bytes:
    """Return the serialized message `raw` without the bytes of its picture. Raises NotChangeable."""
    return _with_data(raw, bytes(np.asarray(message.data, np.uint8)), b"", topic)


def _with_data(raw: bytes, old: bytes, new: bytes, topic: str) -> bytes:
    # `data` is the last field: its length, its bytes, and at most 3 of padding.
    order = "<" if raw[1] & 1 else ">"
    for padding in range(4):
        begin = len(raw) - padding - len(old)
        if begin >= 8 and raw[begin - 4 : begin + len(old)] == struct.pack(f"{order}I", len(old)) + old:
            return raw[: begin - 4] + struct.pack(f"{order}I", len(new)) + new
    raise NotChangeable(f"{topic}: a message does not end in its picture; leave the topic out (--leave-out {topic})")


def _raw(message: Any, old: bytes, topic: str, change: Change) -> bytes:
    mosaic = message.encoding in _MOSAICS
    if not mosaic and message.encoding not in _PACKED:
        raise NotChangeable(
            f"{topic} holds images of encoding {message.encoding!r}, expected one of "
            f"{', '.join((*_PACKED, *_MOSAICS))}; leave the topic out (--leave-out {topic})"
        )
    kind, channels = (np.uint8, 1) if mosaic else _PACKED[message.encoding]
    dtype = np.dtype(kind).newbyteorder(">" if message.is_bigendian else "<")
    pixels = np.frombuffer(bytearray(old), np.uint8)
    shape = (message.height, message.width, channels)
    view: NDArray[Any] = np.ndarray(
        shape, dtype, pixels.data, strides=(message.step, channels * dtype.itemsize, dtype.itemsize)
    )
    native = np.ascontiguousarray(view.astype(kind))
    change(native, mosaic)
    view[...] = native
    return pixels.tobytes()


def _still(message: Any, old: bytes, topic: str, change: Change) -> bytes:
    kind = still_kind(old[:12])
    pixels = cv2.imdecode(np.frombuffer(old, np.uint8), cv2.IMREAD_UNCHANGED) if kind else None
    if pixels is None:
        raise NotChangeable(
            f"{topic} holds pictures of format {message.format!r} that are no JPEG, PNG or WebP; leave the topic out "
            f"(--leave-out {topic})"
        )
    pixels = np.ascontiguousarray(pixels)
    change(pixels, message.format.strip().lower().startswith("bayer"))
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if kind == "jpeg" else []
    return bytes(cv2.imencode(f".{kind}", pixels, options)[1])

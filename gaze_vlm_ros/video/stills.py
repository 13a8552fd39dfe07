"""What the bytes of a still picture say about it before it is decoded: JPEG, PNG or WebP, and its size."""

from __future__ import annotations

import struct

JPEG, PNG, WEBP = "jpeg", "png", "webp"
# A header of 100 bytes can state any size, and the decoder allocates all of it. 8K video has 33 million pixels.
LARGEST_PIXELS = 100_000_000

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_JPEG_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers SOF0 to SOF15, ITU-T T.81 table B.1
_JPEG_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}


def still_kind(data: bytes | memoryview) -> str:
    """Return JPEG, PNG or WEBP by the first bytes; "" = something else. Twelve bytes are enough."""
    if data[:3] == b"\xff\xd8\xff":
        return JPEG
    if data[:8] == _PNG_MAGIC:
        return PNG
    return WEBP if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else ""


def still_size(data: bytes | memoryview) -> tuple[int, int] | None:
    """Return (width, height) px that the picture's header states; None where it is cut off, or no such picture."""
    try:
        kind = still_kind(data)
        if kind == PNG:
            width, height = struct.unpack_from(">II", data, 16)
            return width, height
        return _jpeg_size(data) if kind == JPEG else _webp_size(data) if kind == WEBP else None
    except (struct.error, IndexError):
        return None


def _jpeg_size(data: bytes | memoryview) -> tuple[int, int]:
    at = 2
    while True:
        while data[at] != 0xFF or data[at + 1] in (0x00, 0xFF):  # filling, and garbage that decoders skip
            at += 1
        marker = data[at + 1]
        if marker in _JPEG_SIZES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 if marker in _JPEG_WITHOUT_LENGTH else 2 + int(struct.unpack_from(">H", data, at + 2)[0])


def _webp_size(data: bytes | memoryview) -> tuple[int, int] | None:
    chunk = data[12:16]
    if chunk == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        return width, height
    if chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None

"""Decompress chunks and messages of a bag: never more than they state, and never more than one limit."""

from __future__ import annotations

import lz4.frame
import zstandard

# rosbag2's chunks hold 0.8 MB, or one message. A few kilobytes can state, and expand to, any size.
LARGEST_BYTES = 512 << 20
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # no CDR message begins like this


class NotDecompressed(ValueError):
    """The bytes do not decompress, or to another size than stated, or the stated size is above LARGEST_BYTES."""


def decompress(stored: memoryview | bytes, compression: str, size: int) -> bytes:
    """Return `size` bytes. compression: "zstd" or "lz4". Raises NotDecompressed."""
    if size > LARGEST_BYTES:
        raise NotDecompressed(f"states {size} bytes, expected at most {LARGEST_BYTES}")
    try:
        if compression == "lz4":
            data = lz4.frame.LZ4FrameDecompressor().decompress(stored, max_length=size + 1)
        else:
            stated = zstandard.get_frame_parameters(stored).content_size
            if stated not in (zstandard.CONTENTSIZE_UNKNOWN, size):
                raise NotDecompressed(f"states {size} bytes, and its frame {stated}")
            data = zstandard.ZstdDecompressor().decompress(stored, max_output_size=size)
    except (zstandard.ZstdError, RuntimeError, EOFError) as error:
        raise NotDecompressed(str(error)) from None
    if len(data) != size:
        raise NotDecompressed(f"states {size} bytes, and gives {'more' if len(data) > size else len(data)}")
    return data


def is_compressed_message(data: memoryview | bytes) -> bool:
    """Return whether rosbag2 compressed this message on its own (`compression_mode: MESSAGE`)."""
    return data[:4] == ZSTD_MAGIC


def decompress_message(data: memoryview | bytes) -> memoryview:
    """Return the serialized message, which may be compressed on its own. Raises NotDecompressed."""
    if not is_compressed_message(data):
        return memoryview(data)
    try:
        size = zstandard.get_frame_parameters(data).content_size
    except zstandard.ZstdError as error:
        raise NotDecompressed(str(error)) from None
    return memoryview(decompress(data, "zstd", size))


def in_mode(data: bytes, mode: str) -> bytes:
    """Return a serialized message in a bag's mode: "zstd" = compressed on its own, "" = not. Raises NotDecompressed."""
    if is_compressed_message(data) == bool(mode):
        return data
    return zstandard.compress(data) if mode else bytes(decompress_message(data))

"""A bounded cache of decoded video pictures, shared by many streams."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

# 90 frames of 1600x1200: the 3 s of an observation at 30 Hz, which the next window shows again.
SHARED_BYTES = 256 << 20


class PictureCache:
    """The pictures used last, up to a number of bytes. Thread-safe.

    Pictures are av.VideoFrame. limit_bytes: of their planes; 0 keeps none.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.bytes = 0
        self._pictures: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._pictures)

    def get(self, key: Hashable) -> Any:
        """Return the picture of `key`, None where it is not kept (any more)."""
        with self._lock:
            if key in self._pictures:
                self._pictures.move_to_end(key)
            return self._pictures.get(key)

    def put(self, key: Hashable, picture: Any) -> None:
        """Keep a picture, and drop those that were not used for longest where there is no room."""
        with self._lock:
            if key in self._pictures:
                self.bytes -= _size_bytes(self._pictures.pop(key))
            self._pictures[key] = picture
            self.bytes += _size_bytes(picture)
            while self.bytes > self.limit_bytes:
                self.bytes -= _size_bytes(self._pictures.popitem(last=False)[1])


@functools.cache
def shared_pictures() -> PictureCache:
    """Return the cache of all streams of this process that are given no other.

    One cache bounds the memory however many bags are open: a fit opens a hundred, and reads one after the other.
    """
    return PictureCache(SHARED_BYTES)


def _size_bytes(picture: Any) -> int:
    return sum(plane.buffer_size for plane in picture.planes)

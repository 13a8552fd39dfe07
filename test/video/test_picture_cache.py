"""The cache of decoded pictures stays below its limit and keeps what was used last."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from gaze_vlm_ros.video.picture_cache import SHARED_BYTES, PictureCache, shared_pictures


def picture(size_bytes: int) -> Any:
    return SimpleNamespace(planes=[SimpleNamespace(buffer_size=size_bytes - 1), SimpleNamespace(buffer_size=1)])


def test_the_picture_that_was_not_used_for_longest_is_dropped() -> None:
    cache = PictureCache(30)
    first, second, third, fourth = (picture(10) for _ in range(4))
    for key, each in enumerate((first, second, third)):
        cache.put(key, each)
    assert (cache.bytes, len(cache)) == (30, 3)
    assert cache.get(0) is first  # now the one used last
    cache.put(3, fourth)
    assert [cache.get(key) for key in range(4)] == [first, None, third, fourth]
    assert cache.bytes == 30


def test_a_picture_that_comes_again_takes_the_place_of_the_old_one() -> None:
    cache = PictureCache(30)
    cache.put("key", picture(10))
    larger = picture(25)
    cache.put("key", larger)
    assert (cache.get("key"), cache.bytes, len(cache)) == (larger, 25, 1)


def test_a_picture_above_the_limit_is_not_kept() -> None:
    for limit_bytes in (0, 9):
        cache = PictureCache(limit_bytes)
        cache.put("key", picture(10))
        assert (cache.get("key"), cache.bytes, len(cache)) == (None, 0, 0)


def test_streams_share_one_cache_unless_they_are_given_another() -> None:
    assert shared_pictures() is shared_pictures()
    assert shared_pictures().limit_bytes == SHARED_BYTES

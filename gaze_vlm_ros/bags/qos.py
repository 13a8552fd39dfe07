"""QoS profiles as rosbag2 stores them: those of a topic whose publisher is not asked, and those of other bags."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import yaml

_FOREVER = {"sec": 9223372036, "nsec": 854775807}
# Reliable and volatile, which `ros2 bag play` can always offer.
DEFAULT_QOS: dict[str, Any] = {
    "history": "keep_last",
    "depth": 10,
    "reliability": "reliable",
    "durability": "volatile",
    "deadline": _FOREVER,
    "lifespan": _FOREVER,
    "liveliness": "automatic",
    "liveliness_lease_duration": _FOREVER,
    "avoid_ros_namespace_conventions": False,
}
# Until Humble (version 5 of metadata.yaml) policies are numbers, https://github.com/ros2/rmw rmw/types.h; later readers
# take a number as "unknown".
_WORDS = {
    "history": ("system_default", "keep_last", "keep_all", "unknown"),
    "reliability": ("system_default", "reliable", "best_effort", "unknown", "best_available"),
    "durability": ("system_default", "transient_local", "volatile", "unknown", "best_available"),
    "liveliness": ("system_default", "automatic", "manual_by_node", "manual_by_topic", "unknown", "best_available"),
}
_LARGEST_TEXT = 1 << 20  # characters; a publisher takes 400


@lru_cache(maxsize=256)  # every chunk of a damaged file may declare its topics again
def qos_profiles(text: str) -> list[dict[str, Any]]:
    """Return the profiles of a channel's `offered_qos_profiles`, policies as words; none where they cannot be read.

    Do not modify them: all callers get the same object.
    """
    try:
        profiles = yaml.safe_load(text) if len(text) <= _LARGEST_TEXT else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return []
    if not isinstance(profiles, list) or not all(isinstance(profile, Mapping) for profile in profiles):
        return []
    return [_profile(profile) for profile in profiles]


def _profile(stored: Mapping[Any, Any]) -> dict[str, Any]:
    """Return every field of a profile; the default's where it has none, or one of another kind."""
    profile = dict(DEFAULT_QOS)
    for name, default in DEFAULT_QOS.items():
        value = stored.get(name)
        words = _WORDS.get(name)
        if words and type(value) is int:
            profile[name] = words[value] if 0 <= value < len(words) else "unknown"
        elif isinstance(default, dict):
            if isinstance(value, Mapping) and all(type(value.get(part)) is int for part in default):
                profile[name] = {part: value[part] for part in default}
        elif type(value) is type(default) and (not words or value in words):
            profile[name] = value
    return profile

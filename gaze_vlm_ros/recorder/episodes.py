"""Folders of episodes. Each episode is a bag of its own, so a closed one stays whole whatever happens to the next."""

from __future__ import annotations

import re
from pathlib import Path

from gaze_vlm_ros.bags.files import is_companion
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.storage.atomic import sync_folder

DISCARDED = "_discarded"  # suffix of a folder's name; training skips such bags
LONGEST_ID = 128  # bytes of UTF-8: files and the suffix above add to it, and file systems take 255
_NUMBERED = re.compile(r"episode_(\d+)")


class BadEpisode(GazeVlmError):
    """The episode id is not a plain name, is too long, or an episode has it already."""


def episode_folder(root: Path, episode_id: str = "") -> Path:
    """Return the folder of the next episode below `root`; without an id it gets the next unused number.

    Raises BadEpisode for an id that is not a plain name, is longer than LONGEST_ID, or that a kept or discarded episode
    has already.
    """
    if not episode_id:
        names = [path.name for path in root.iterdir()] if root.is_dir() else []
        numbers = [int(match[1]) for name in names if (match := _NUMBERED.match(name))]
        return root / f"episode_{max(numbers, default=-1) + 1:04d}"
    if not re.fullmatch(r"[\w][\w.-]*", episode_id) or episode_id.endswith(DISCARDED):
        raise BadEpisode(f"episode id {episode_id[:LONGEST_ID]!r} is not a plain name; use letters, digits, - and _")
    if (length := len(episode_id.encode())) > LONGEST_ID:
        raise BadEpisode(f"episode id {episode_id[:40]!r}... has {length} bytes, expected at most {LONGEST_ID}")
    folder = root / episode_id
    for taken in (folder, _aside(folder)):
        if taken.exists():
            raise BadEpisode(f"there is an episode {taken} already, and none is overwritten; give another id")
    return folder


def set_aside(folder: Path) -> Path:
    """Rename a closed episode as discarded and return its new folder. Nothing is deleted, so a slip can be undone."""
    renamed = folder.rename(_aside(folder))
    sync_folder(renamed.parent)
    return renamed


def is_bag(folder: Path) -> bool:
    """Whether a folder holds MCAP files itself, so it is not a folder of episodes."""
    return any(not is_companion(file) for file in folder.glob("*.mcap"))


def is_discarded(folder: Path) -> bool:
    """Whether the bag folder is one that `set_aside` renamed."""
    return folder.name.endswith(DISCARDED)


def _aside(folder: Path) -> Path:
    return folder.with_name(folder.name + DISCARDED)

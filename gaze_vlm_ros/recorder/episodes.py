"""Folders of episodes: each a bag of its own, so that one that was closed stays whole whatever happens to the next."""

from __future__ import annotations

import re
from pathlib import Path

from gaze_vlm_ros.errors import GazeVlmError

DISCARDED = "_discarded"  # at the end of a folder's name; training passes such bags over
_NUMBERED = re.compile(r"episode_(\d+)")


class BadEpisode(GazeVlmError):
    """An episode cannot have this name, or there is one of that name already."""


def episode_folder(root: Path, episode_id: str = "") -> Path:
    """Where the next episode goes, below `root`; without an id the next number that no episode has had.

    Raises BadEpisode for an id that is no plain name, or that a kept or discarded episode has.
    """
    if not episode_id:
        names = [path.name for path in root.iterdir()] if root.is_dir() else []
        numbers = [int(match[1]) for name in names if (match := _NUMBERED.match(name))]
        return root / f"episode_{max(numbers, default=-1) + 1:04d}"
    if not re.fullmatch(r"[\w][\w.-]*", episode_id) or episode_id.endswith(DISCARDED):
        raise BadEpisode(f"episode id {episode_id!r} is not a plain name; letters, digits, - and _ make one")
    folder = root / episode_id
    for taken in (folder, _aside(folder)):
        if taken.exists():
            raise BadEpisode(f"there is an episode {taken} already, and none is overwritten; give another id")
    return folder


def set_aside(folder: Path) -> Path:
    """Mark a closed episode as discarded by its name, which is given back. Nothing is deleted: a slip can be undone."""
    return folder.rename(_aside(folder))


def is_bag(folder: Path) -> bool:
    """Whether a folder holds MCAP files itself, and so is no folder of episodes."""
    return any(folder.glob("*.mcap"))


def is_discarded(folder: Path) -> bool:
    """Whether the bag folder is one that `set_aside` renamed."""
    return folder.name.endswith(DISCARDED)


def _aside(folder: Path) -> Path:
    return folder.with_name(folder.name + DISCARDED)

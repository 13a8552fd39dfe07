"""A file system that forgets what was not synced: what a power cut could leave of the files below a folder.

At each sync, and at the end, the disk surely has the content and names that were synced. It may also have any newer
names, for file systems write them when they like; the content under a new name is then what was synced of that file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

Found = dict[str, bytes]  # content by path below the folder


class PowerCuts:
    """Within its block, notes what is on the disk whenever something is synced."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._content = {path.stat().st_ino: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        self._names = {path: self._entries(path) for path in (folder, *folder.rglob("*")) if path.is_dir()}
        self._found: list[list[Found]] = []

    def __enter__(self) -> PowerCuts:
        self._fsync, self._fdatasync = os.fsync, os.fdatasync
        os.fsync = os.fdatasync = self._sync  # type: ignore[assignment]
        return self

    def __exit__(self, *_: object) -> None:
        os.fsync, os.fdatasync = self._fsync, self._fdatasync
        self._note()

    def possible(self) -> list[Found]:
        """What may be found after a cut at any moment."""
        return [found for moment in self._found for found in moment]

    def at_the_end(self) -> list[Found]:
        """What may be found after a cut when the block has ended."""
        return self._found[-1]

    def _sync(self, descriptor: int) -> None:
        self._note()
        place = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if place.is_dir():
            self._names[place] = self._entries(place)
        else:
            self._content[os.fstat(descriptor).st_ino] = place.read_bytes()
        self._note()

    def _entries(self, folder: Path) -> dict[str, int]:
        return {entry.name: entry.inode() for entry in os.scandir(folder)}

    def _note(self) -> None:
        self._found.append([self._files(self._folder, self._synced), self._files(self._folder, self._entries)])

    def _synced(self, folder: Path) -> dict[str, int]:
        return self._names.get(folder, {})

    def _files(self, folder: Path, names: Any) -> Found:
        found: Found = {}
        for name, inode in names(folder).items():
            path = folder / name
            if path in self._names or path.is_dir():
                found |= self._files(path, names)
            else:
                found[str(path.relative_to(self._folder))] = self._content.get(inode, b"")
        return found

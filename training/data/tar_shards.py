"""Numbered tar files of samples, as the webdataset package reads them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path


class TarShardWriter:
    """Write numbered tar files NAME-000000.tar, ... in a folder, starting a new one after `max_bytes`.

    Keeps one sample in memory. The same samples give the same bytes: entries have no time and no owner.
    """

    def __init__(self, folder: Path, name: str, max_bytes: int) -> None:
        self._folder, self._name, self._max_bytes = folder, name, max_bytes
        self._tar: tarfile.TarFile | None = None
        self.files: list[str] = []

    def append(self, key: str, files: Mapping[str, bytes]) -> None:
        """Write one sample. files: content by file ending (the part after key and dot); the key has no dot."""
        if self._tar is not None and self._tar.offset >= self._max_bytes:
            self.close()
        if self._tar is None:
            self.files.append(f"{self._name}-{len(self.files):06d}.tar")
            self._tar = tarfile.TarFile(self._folder / self.files[-1], "x", format=tarfile.USTAR_FORMAT)
        for ending, content in files.items():
            info = tarfile.TarInfo(f"{key}.{ending}")
            info.size = len(content)
            self._tar.addfile(info, io.BytesIO(content))
        self._tar.members.clear()  # type: ignore[attr-defined]  # tarfile would keep the name of every entry

    def close(self) -> None:
        """Complete the current file."""
        if self._tar is not None:
            self._tar.close()
            self._tar = None

"""Free disk space where a bag is written."""

from __future__ import annotations

import shutil
from pathlib import Path

from gaze_vlm_ros.errors import GazeVlmError


class DiskFull(GazeVlmError):
    """There is too little room to begin."""


def free_disk_bytes(folder: Path) -> int:
    """Free space where `folder` is, or will be."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free

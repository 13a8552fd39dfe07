"""Free disk space where a bag is written."""

from __future__ import annotations

import shutil
from pathlib import Path

from gaze_vlm_ros.errors import GazeVlmError


class DiskFull(GazeVlmError):
    """Too little disk space is free to start a bag."""


def free_disk_bytes(folder: Path) -> int:
    """Return the free bytes on the disk of `folder`, which need not exist yet."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


def require_free_disk(folder: Path, least_bytes: float) -> None:
    """Raise DiskFull when fewer than `least_bytes` are free where `folder` is, or will be."""
    free_bytes = free_disk_bytes(folder)
    if free_bytes < least_bytes:
        raise DiskFull(
            f"only {free_bytes / 1e6:.0f} MB are free where {folder} is to be written, "
            f"expected at least {least_bytes / 1e6:.0f} (min_free_mb); free some space, or write to another disk"
        )

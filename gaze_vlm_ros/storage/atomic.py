"""Files and folders that are complete or not there.

A file is written under another name in the same folder, synced, and then renamed, which POSIX does atomically: a
reader, or a restart after a kill or a loss of power, finds the old file or the new one, never a part of it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

UNFINISHED_SUFFIX = ".part"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a new file to write; rename it to `path` on success, remove it on an error.

    Its name is random: processes may write one file at a time, also in containers with the same process ids. Content
    and new name are on the disk (fsync) when the block has ended. A file that is replaced keeps its permissions; a new
    one gets those of the umask. Raises OSError.
    """
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}{UNFINISHED_SUFFIX}")
    try:
        yield unfinished
        with contextlib.suppress(FileNotFoundError):
            unfinished.chmod(stat.S_IMODE(path.stat().st_mode))
        with unfinished.open("r+b") as stream:
            os.fsync(stream.fileno())
        unfinished.replace(path)
        sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Wait until the names in `folder` are on the disk. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_unfinished(path: Path) -> None:
    """Remove what killed writers of `path` left. No other process may be writing it."""
    for left in path.parent.glob(f"{path.name}.*{UNFINISHED_SUFFIX}"):
        left.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, or replace it, atomically and durably; see `replacing`. Raises OSError."""
    with replacing(path) as unfinished:
        unfinished.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file, or replace it, atomically and durably; see `replacing`. Raises OSError."""
    write_bytes(path, text.encode())


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Make `folder`, parents included; remove it with all its files if the block raises, Ctrl-C included.

    Raises FileExistsError when something is there already (which then stays), OSError when it cannot be made.
    """
    folder.mkdir(parents=True)
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise

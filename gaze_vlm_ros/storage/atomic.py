"""Files and folders that are complete or not there.

A file is written under another name in the same folder and then renamed, which POSIX does atomically: a reader, or a
restart after a kill, finds the old file or the new one, never a part of it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

UNFINISHED_SUFFIX = ".part"


@contextlib.contextmanager
def replacing(path: Path, *, unique: bool = False, durable: bool = False) -> Iterator[Path]:
    """Yield the path of a new file to write; rename it to `path` on success, remove it on an error.

    unique: add the process id to its name, for files that several processes may write at the same time.
    durable: wait until the disk has the content (fsync) before renaming, so that a loss of power leaves a whole file.
    Raises OSError.
    """
    process = f".{os.getpid()}" if unique else ""
    unfinished = path.with_name(f"{path.name}{process}{UNFINISHED_SUFFIX}")
    try:
        yield unfinished
        if durable:
            with unfinished.open("r+b") as stream:
                os.fsync(stream.fileno())
        unfinished.replace(path)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Write a file, or replace it, atomically. durable: see `replacing`. Raises OSError."""
    with replacing(path, durable=durable) as unfinished:
        unfinished.write_bytes(data)


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Write a UTF-8 file, or replace it, atomically. durable: see `replacing`. Raises OSError."""
    write_bytes(path, text.encode(), durable=durable)


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

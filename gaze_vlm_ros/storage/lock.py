"""One program at a time in a folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from gaze_vlm_ros.errors import GazeVlmError


class FolderTaken(GazeVlmError):
    """Another program writes into the folder."""


@contextlib.contextmanager
def only_one(folder: Path, what: str) -> Iterator[None]:
    """Keep other programs that call this out of `folder`, which is made if it is missing.

    what: the work, in words, for the message. The lock ends with the process, however it ends, and leaves no file.
    Raises FolderTaken, OSError.
    """
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderTaken(
                f"{what} in {folder} is being done by another program; wait for it, or give another folder"
            ) from None
        except OSError:  # a network file system without locks: nothing to agree by
            pass
        yield
    finally:
        os.close(handle)
        if is_new:
            with contextlib.suppress(OSError):  # the work has left something in it
                folder.rmdir()

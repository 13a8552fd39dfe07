"""The folder of an export: a new one, whole or not there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gaze_vlm_ros.errors import GazeVlmError


class ExportExists(GazeVlmError):
    """Something is already where the export should be written."""


class ExportNotWritable(GazeVlmError):
    """The place cannot be written to."""


def require_absent(out: Path) -> None:
    """Raises ExportExists."""
    if out.exists():
        raise ExportExists(f"{out} exists already, and nothing is overwritten; give another --out")


@contextmanager
def new_folder(out: Path) -> Iterator[None]:
    """Make `out`; an error within, or Ctrl-C, removes it. Raises ExportExists, and ExportNotWritable for OSError."""
    require_absent(out)
    try:
        out.mkdir(parents=True)
        try:
            yield
        except BaseException:
            shutil.rmtree(out, ignore_errors=True)
            raise
    except OSError as error:
        raise ExportNotWritable(
            f"cannot write {out}: {error.strerror or error}; make room, or give another --out"
        ) from None

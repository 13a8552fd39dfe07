"""The output folder of an export: new, and complete or not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.storage.atomic import new_folder


class ExportExists(GazeVlmError):
    """A file or folder of that name exists already."""


class ExportNotWritable(GazeVlmError):
    """The output folder cannot be written."""


def require_absent(out: Path) -> None:
    """Raise ExportExists if anything exists at `out`."""
    if out.exists():
        raise ExportExists(f"{out} exists already, and nothing is overwritten; give another --out")


@contextmanager
def export_folder(out: Path) -> Iterator[None]:
    """Make `out` for the block that writes the export; an error within, or Ctrl-C, removes it.

    Raises ExportExists, and ExportNotWritable in place of OSError.
    """
    require_absent(out)
    try:
        with new_folder(out):
            yield
    except OSError as error:
        raise ExportNotWritable(
            f"cannot write {out}: {error.strerror or error}; make room, or give another --out"
        ) from None

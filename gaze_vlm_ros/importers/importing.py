"""`gaze-vlm import`: write a recording in another format as a training bag."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from gaze_vlm_ros.bags.writer import BagExists
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.importers.import_summary import ImportSummary
from gaze_vlm_ros.importers.imported_session import ImportedSession
from gaze_vlm_ros.importers.kinds import KINDS
from gaze_vlm_ros.importers.session_writer import BadFrameSize, write_session
from gaze_vlm_ros.storage.tables import FileMissing


class UnknownKind(GazeVlmError):
    """There is no importer for this format."""


class OptionNotTaken(GazeVlmError):
    """The format does not have this option."""


def import_recording(
    kind: str,
    source: Path,
    out: Path,
    *,
    gaze: Path | None = None,  # gaze file; None = where the data set has it
    labels: Path | None = None,  # annotation file; None = no labels
    mapping: Path | None = None,  # what the columns of a generic table of gaze mean
    events_as_labels: bool = False,  # the recording's events are actions
    distance_m: float | None = None,  # of a gaze point whose distance is not known; None = the format's
    episode: int | None = None,  # of a data set of several; None = the first
    cut: bool = False,  # leave out gaze and labels beyond the video instead of refusing
    session: str = "",  # these four: "" = from the recording, if it has it
    person: str = "",
    task: str = "",
    scene: str = "",
    max_rate_hz: float = 0.0,  # of frames; 0 = all
    size: tuple[int, int] | None = None,  # (width, height) px to shrink frames to; None = as they are
    progress: bool = True,  # a bar on stderr
) -> ImportSummary:
    """Write one recording as the bag `out`.

    kind: a name in kinds.KINDS, which says what `source` is and which of the options the format takes.
    Raises UnknownKind, OptionNotTaken, BagExists, and what the format's reader and `write_session` raise.
    """
    if out.exists():  # check before minutes of reading
        raise BagExists(f"{out} exists already, and bags are never overwritten; give another name")
    imported = read_recording(
        kind, source, gaze=gaze, labels=labels, mapping=mapping, events_as_labels=events_as_labels, cut=cut,
        distance_m=distance_m, episode=episode,
    )  # fmt: skip
    described = {"session": session, "person": person, "task": task, "scene": scene}
    imported.metadata = {
        **dict.fromkeys(described, ""),
        **imported.metadata,
        **{name: value for name, value in described.items() if value},
        "source": source.name,
        "source_format": kind,
    }
    return write_session(imported, out, max_rate_hz=max_rate_hz, size=size, progress=progress)


def read_recording(kind: str, source: Path, **given: Any) -> ImportedSession:
    """Read one recording, and write nothing. given: options of `import_recording` that a format may take.

    Raises UnknownKind, OptionNotTaken, FileMissing, and what the format's reader raises.
    """
    if kind not in KINDS:
        raise UnknownKind(f"there is no importer {kind!r}, expected one of {', '.join(KINDS)}")
    options = {name: value for name, value in given.items() if name in KINDS[kind].options}
    if foreign := [name for name, value in given.items() if value not in (None, False) and name not in options]:
        raise OptionNotTaken(f"{kind} takes no --{foreign[0].replace('_', '-')}; leave it out")
    if not source.exists():
        raise FileMissing(f"{source} is missing: expected a recording's {KINDS[kind].source}")
    return _reader(kind)(source, **options)


def _reader(kind: str) -> Callable[..., ImportedSession]:
    # Import only the reader that is needed: those of data sets do not need a vendor's library.
    module, _, function = KINDS[kind].reader.partition(".")
    reader: Callable[..., ImportedSession] = getattr(import_module(f"gaze_vlm_ros.importers.{module}"), function)
    return reader


def parse_size(text: str) -> tuple[int, int]:
    """Return (width, height) for "640x480". Raises BadFrameSize."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise BadFrameSize(f"the frame size is {text!r}, expected WIDTHxHEIGHT in px, such as 640x480")
    return int(match[1]), int(match[2])

"""`gaze-vlm label export`: the labels of a bag as a table or as subtitles, for other programs."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from gaze_vlm_ros.bags.role_options import AS_THE_BAG_SAYS, Roles
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.labels.label_file import Label
from gaze_vlm_ros.session.session import Session, load_session
from gaze_vlm_ros.session.stored_labels import labels_of_session
from gaze_vlm_ros.storage.atomic import write_text

COLUMNS = ("start_s", "end_s", "text", "verb", "object_class", "source", "reviewed_by")
SUFFIXES = (".csv", ".vtt", ".srt")


class UnknownExport(GazeVlmError):
    """The file name has no known extension."""


class ExportExists(GazeVlmError):
    """A file of that name exists already."""


class ExportNotWritable(GazeVlmError):
    """The file cannot be written."""


def export_labels(bag: Path, out: Path, roles: Roles = AS_THE_BAG_SAYS) -> int:
    """Write the labels that training would use and return their number. The extension gives the format: SUFFIXES.

    Times are seconds after the bag's first frame. A label without an end ends at the last frame, at least 1 s after its
    start. Raises UnknownExport, ExportExists, ExportNotWritable, NoLabels, and what load_session raises.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise UnknownExport(f"{out}: expected a name that ends in {' or '.join(SUFFIXES)}")
    session = load_session(bag, roles=roles)
    labels = labels_of_session(session)
    if os.path.lexists(out):
        raise ExportExists(f"{out} exists already, and nothing is overwritten; give another name")
    text = _table(session, labels) if out.suffix.lower() == ".csv" else _subtitles(session, labels, out.suffix.lower())
    try:
        write_text(out, text)
    except OSError as error:
        raise ExportNotWritable(f"cannot write {out}: {error.strerror}; give another place") from None
    return len(labels)


def _span_s(session: Session, label: Label) -> tuple[float, float]:
    first_ns, last_ns = int(session.frames.stamps_ns[0]), int(session.frames.stamps_ns[-1])
    end_ns = label.end_ns if label.end_ns is not None else max(last_ns, label.start_ns + 10**9)
    return (label.start_ns - first_ns) / 1e9, (end_ns - first_ns) / 1e9


def _table(session: Session, labels: Sequence[Label]) -> str:
    out = io.StringIO(newline="")
    rows = csv.writer(out)
    rows.writerow(COLUMNS)
    for label in labels:
        start_s, end_s = _span_s(session, label)
        rows.writerow(
            [f"{start_s:.9f}", f"{end_s:.9f}", label.text, label.verb, label.object_class, label.source,
             label.reviewed_by]
        )  # fmt: skip
    return out.getvalue()


def _subtitles(session: Session, labels: Sequence[Label], suffix: str) -> str:
    comma = "," if suffix == ".srt" else "."
    blocks = ["WEBVTT"] if suffix == ".vtt" else []
    for number, label in enumerate(labels, 1):
        span = [_clock(max(at, 0.0), comma) for at in _span_s(session, label)]
        text = label.text if suffix == ".srt" else label.text.replace("&", "&amp;").replace("<", "&lt;")
        blocks.append(f"{number}\n{span[0]} --> {span[1]}\n{text.replace('-->', '->')}")
    return "\n\n".join(blocks) + "\n"


def _clock(at_s: float, comma: str) -> str:
    ms = round(at_s * 1000)
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}{comma}{ms % 1000:03d}"

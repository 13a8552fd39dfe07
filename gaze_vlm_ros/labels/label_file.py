"""labels.json, the label file beside a bag: what the person does from when to when, and where each label comes from."""

from __future__ import annotations

import fcntl
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.labels.actions import Action
from gaze_vlm_ros.labels.track import LabelTrack, track_from_actions
from gaze_vlm_ros.storage.atomic import write_text

FORMAT = "gaze_vlm_labels 1"
FILE_NAME = "labels.json"  # in a bag's folder
_BAG_KEYS = {"session": str, "frames": int, "first_frame_ns": int, "last_frame_ns": int}


class BadLabelFile(GazeVlmError):
    """The file beside the bag is not a label file, or is damaged."""


class OtherBagsLabels(GazeVlmError):
    """The label file was made for another bag."""


class LabelsExist(GazeVlmError):
    """The bag has a label file already."""


class LabelsChanged(GazeVlmError):
    """The label file changed after it was read."""


class LabelsNotWritable(GazeVlmError):
    """The label file cannot be written."""


@dataclass(frozen=True)
class Label:
    """What the person does from start_ns to end_ns, ROS time. end_ns None = until the next label, or the end."""

    start_ns: int
    end_ns: int | None
    text: str
    verb: str = ""
    object_class: str = ""
    source: str = ""  # key of LabelFile.sources
    said: str = ""  # the model's own words, if `text` is the entry of a closed set nearest to them
    similarity: float | None = None  # cosine similarity of `said` and `text`; None = not measured
    reviewed_by: str = ""  # empty = not reviewed
    reviewed_at: str = ""  # UTC, ISO 8601


@dataclass(frozen=True)
class LabelFile:
    """All labels of a bag in the order of time, without overlaps."""

    bag: Mapping[str, Any]  # `bag_identity` of the bag that they belong to
    labels: tuple[Label, ...]
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # provenance: plain JSON values
    revision: int = 0  # how often it was written; 0 = never

    def origin(self) -> str:
        """Return one line that says where the labels come from, such as "3 by import (a.csv); 1 reviewed"."""
        counts = Counter(label.source for label in self.labels)
        parts = [f"{count} by {_source_name(self.sources.get(key, {}))}" for key, count in counts.most_common()]
        reviewed = sum(bool(label.reviewed_by) for label in self.labels)
        return ", ".join(parts or ["none"]) + (f"; {reviewed} reviewed" if reviewed else "")


def _source_name(source: Mapping[str, Any]) -> str:
    kind = source.get("kind", "unknown")
    name = source.get("file") or source.get("model") or source.get("reviewer") or source.get("topic") or ""
    return f"{kind} ({name})" if name else str(kind)


def bag_identity(session: str, frames_ns: NDArray[np.int64]) -> dict[str, Any]:
    """Return what identifies a bag in its label file.

    session: the name in the bag's record. frames_ns: (N,) stamps, ascending.
    """
    return {
        "session": session,
        "frames": len(frames_ns),
        "first_frame_ns": int(frames_ns[0]),
        "last_frame_ns": int(frames_ns[-1]),
    }


def label_file_path(bag: Path) -> Path:
    """Return the label file of a bag: `labels.json` in its folder, or `NAME.labels.json` beside an .mcap file."""
    return bag / FILE_NAME if bag.is_dir() else bag.with_suffix(".labels.json")


def track_of(labels: Sequence[Label]) -> LabelTrack:
    """Return the labels as a track; gaps between them become empty labels."""
    return track_from_actions((Action(x.start_ns, x.end_ns, x.text, x.verb, x.object_class) for x in labels), Counter())


def read_label_file(path: Path, bag: Mapping[str, Any] | None = None) -> LabelFile:
    """Read and check a label file.

    bag: `bag_identity` of the bag beside it; None = do not compare. Raises BadLabelFile, OtherBagsLabels.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise BadLabelFile(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise _bad(path, f"it is not JSON ({error})") from None
    try:
        found = _parsed(content)
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise _bad(path, reason) from None
    if bag is not None:
        _require_same_bag(path, found.bag, bag)
    return found


def _bad(path: Path, reason: str) -> BadLabelFile:
    return BadLabelFile(
        f"{path} is not a valid label file: {reason}; correct it (docs/labels.md), or move it away to use the "
        "labels in the bag itself"
    )


def _parsed(content: Any) -> LabelFile:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"its format is {content.get('format') if isinstance(content, dict) else None!r}, "
                         f"expected {FORMAT!r}")  # fmt: skip
    bag, sources, labels, revision = content["bag"], content["sources"], content["labels"], content["revision"]
    if not isinstance(bag, dict) or not isinstance(sources, dict) or not isinstance(labels, list):
        raise ValueError("bag and sources must be objects, labels a list")
    if type(revision) is not int or revision < 0:
        raise ValueError(f"its revision is {revision!r}, expected a whole number")
    for key, kind in _BAG_KEYS.items():
        if type(bag[key]) is not kind:
            raise ValueError(f"{key} of its bag is {bag[key]!r}")
    parsed = tuple(label_from(entry, f"label {number}") for number, entry in enumerate(labels, 1))
    require_disjoint(parsed)
    for number, label in enumerate(parsed, 1):
        if label.source not in sources or not isinstance(sources[label.source], dict):
            raise ValueError(f"label {number} comes from source {label.source!r}, which is not among its sources")
    return LabelFile(bag, parsed, sources, revision)


def label_from(entry: Any, which: str) -> Label:
    """Return a label from plain JSON values. which: its name in errors. Raises ValueError."""
    if not isinstance(entry, dict):
        raise ValueError(f"{which} is {entry!r}, expected an object")
    names = {each.name for each in fields(Label)}
    if unknown := sorted(entry.keys() - names):
        raise ValueError(f"{which} has an unknown key {unknown[0]!r}; known are {', '.join(sorted(names))}")
    for key in ("start_ns", "end_ns", "text"):
        if key not in entry:
            raise ValueError(f"{which} has no {key}")
    for key, value in entry.items():
        if key in ("start_ns", "end_ns"):
            fits = (type(value) is int and 0 <= value < 2**63) or (key == "end_ns" and value is None)
        elif key == "similarity":
            fits = value is None or (isinstance(value, int | float) and not isinstance(value, bool))
        else:
            fits = isinstance(value, str)
        if not fits:
            raise ValueError(f"{key} of {which} is {value!r:.80}")
    label = Label(**entry)
    if label.end_ns is not None and label.end_ns <= label.start_ns:
        raise ValueError(f"{which} ({label.text!r:.60}) ends at {label.end_ns}, not after its start {label.start_ns}")
    if not label.text.strip():
        raise ValueError(f"{which} has no text; leave the time without a label where nothing is done")
    return label


def require_disjoint(labels: Sequence[Label]) -> None:
    """Raise ValueError unless labels are in the order of time and each ends before the next starts."""
    for number, (label, following) in enumerate(pairwise(labels), 1):
        if following.start_ns <= label.start_ns or (label.end_ns or 0) > following.start_ns:
            raise ValueError(
                f"label {number} ({label.text!r:.60}) and label {number + 1} ({following.text!r:.60}) overlap, or are "
                "not in the order of time"
            )


def _require_same_bag(path: Path, made_for: Mapping[str, Any], bag: Mapping[str, Any]) -> None:
    """Compare sessions and time spans, not frame counts: a recovered bag that lost its end is still the same bag."""
    apart = made_for["first_frame_ns"] > bag["last_frame_ns"] or made_for["last_frame_ns"] < bag["first_frame_ns"]
    if made_for["session"] != bag["session"] or apart:
        raise OtherBagsLabels(
            f"{path} was made for session {made_for['session']!r} (frames {made_for['first_frame_ns']} to "
            f"{made_for['last_frame_ns']} ns), but is beside session {bag['session']!r} ({bag['first_frame_ns']} to "
            f"{bag['last_frame_ns']} ns); move it to its own bag"
        )


def write_label_file(path: Path, labels: LabelFile) -> LabelFile:
    """Write the file atomically and durably: after a crash or loss of power it is the old one or the new one.

    labels.revision is the revision of the file that these labels replace (0 = none); the returned one is one higher.
    Raises LabelsChanged if the file on the disk has another revision, LabelsNotWritable.
    """
    labels = replace(labels, labels=tuple(sorted(labels.labels, key=lambda label: label.start_ns)))
    require_disjoint(labels.labels)
    try:
        with _locked(path.parent):
            on_disk = read_label_file(path).revision if path.exists() else 0
            if on_disk != labels.revision:
                raise LabelsChanged(
                    f"{path} has changed meanwhile: it is at revision {on_disk}, and these labels are of revision "
                    f"{labels.revision}; load it again"
                )
            labels = replace(labels, revision=labels.revision + 1)
            write_text(path, json_text(labels))
    except OSError as error:
        raise LabelsNotWritable(
            f"cannot write {path}: {error.strerror}; make room, or copy the bag elsewhere"
        ) from None
    return labels


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time write in `folder`. The lock ends with the process and leaves no file."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def json_text(labels: LabelFile) -> str:
    """Return the content of the file: one label a line without empty fields, easy to read, compare and edit."""
    always = ("start_ns", "end_ns", "text")
    rows = []
    for label in labels.labels:
        plain = {key: value for key, value in asdict(label).items() if key in always or value not in ("", None)}
        rows.append("    " + json.dumps(plain, ensure_ascii=False, allow_nan=False))
    head = {"format": FORMAT, "revision": labels.revision, "bag": dict(labels.bag), "sources": dict(labels.sources)}
    text = json.dumps(head, ensure_ascii=False, allow_nan=False, indent=2)
    body = "[\n" + ",\n".join(rows) + "\n  ]" if rows else "[]"
    return f'{text[: text.rindex(chr(10))]},\n  "labels": {body}\n}}\n'


def now_text() -> str:
    """Return the time now, UTC, ISO 8601 to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def new_source(sources: Mapping[str, Any], kind: str) -> str:
    """Return the first unused key of a source of this kind: import-1, import-2, ..."""
    return next(key for key in (f"{kind}-{n}" for n in range(1, len(sources) + 2)) if key not in sources)


def without_overlaps(new: Iterable[Action], existing: Sequence[Label], left_out: Counter[str]) -> list[Action]:
    """Return the actions that overlap none of the existing labels; count the others in `left_out`."""
    kept = []
    for action in new:
        if any(
            (label.end_ns is None or label.end_ns > action.start_ns)
            and (action.end_ns is None or action.end_ns > label.start_ns)
            for label in existing
        ):
            left_out["labels that overlap existing ones"] += 1
        else:
            kept.append(action)
    return kept

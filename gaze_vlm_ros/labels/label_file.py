"""labels.json, the labels that lie beside a bag: what holds from when to when, and where each of them comes from."""

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
from gaze_vlm_ros.labels.actions import Action, label_track
from gaze_vlm_ros.labels.label_set import LabelTrack
from gaze_vlm_ros.storage.atomic import write_text

FORMAT = "gaze_vlm_labels 1"
FILE_NAME = "labels.json"  # in a bag's folder
_BAG_KEYS = {"session": str, "frames": int, "first_frame_ns": int, "last_frame_ns": int}


class BadLabelFile(GazeVlmError):
    """The file beside the bag is no label file, or a damaged one."""


class OtherBagsLabels(GazeVlmError):
    """The label file was made for another bag."""


class LabelsExist(GazeVlmError):
    """There are labels beside the bag already."""


class LabelsChanged(GazeVlmError):
    """Somebody else has changed the labels meanwhile."""


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
    said: str = ""  # by the model, where `text` is the entry of a closed set that is nearest to it
    similarity: float | None = None  # of `said` and `text`, cosine; None = not measured
    reviewed_by: str = ""  # empty = nobody has looked at it
    reviewed_at: str = ""  # UTC, ISO 8601


@dataclass(frozen=True)
class LabelFile:
    """All labels of a bag in the order of time, none of them overlapping."""

    bag: Mapping[str, Any]  # `bag_identity` of the bag that they belong to
    labels: tuple[Label, ...]
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # provenance: plain JSON values
    revision: int = 0  # how often it was written; 0 = never

    def origin(self) -> str:
        """Where the labels come from, in one line for a person."""
        counts = Counter(label.source for label in self.labels)
        told = [f"{count} by {_in_words(self.sources.get(key, {}))}" for key, count in counts.most_common()]
        reviewed = sum(bool(label.reviewed_by) for label in self.labels)
        return ", ".join(told or ["none"]) + (f"; {reviewed} reviewed" if reviewed else "")


def _in_words(source: Mapping[str, Any]) -> str:
    kind = source.get("kind", "unknown")
    name = source.get("file") or source.get("model") or source.get("reviewer") or source.get("topic") or ""
    return f"{kind} ({name})" if name else str(kind)


def bag_identity(session: str, frames_ns: NDArray[np.int64]) -> dict[str, Any]:
    """By which a label file knows its bag. session: as the bag's record names it; frames_ns: (N,) stamps, ascending."""
    return {
        "session": session,
        "frames": len(frames_ns),
        "first_frame_ns": int(frames_ns[0]),
        "last_frame_ns": int(frames_ns[-1]),
    }


def label_file_path(bag: Path) -> Path:
    """Where the labels of a bag lie: `labels.json` in its folder, or `NAME.labels.json` beside an .mcap file."""
    return bag / FILE_NAME if bag.is_dir() else bag.with_suffix(".labels.json")


def actions_of(track: LabelTrack) -> list[Action]:
    """The actions of a track, each with its end; the last one's is None where no empty label ends it."""
    actions: list[Action] = []
    starts: list[int] = track.starts_ns.tolist()
    ends = [*starts[1:], None] if starts else []
    for start_ns, end_ns, text, verb, noun in zip(
        starts, ends, track.texts, track.verbs, track.object_classes, strict=True
    ):
        if text and start_ns != end_ns:  # of two at one time the second holds
            actions.append(Action(start_ns, end_ns, text, verb, noun))
    return actions


def track_of(labels: Sequence[Label]) -> LabelTrack:
    """The same labels, each holding until the next; gaps between them become empty ones."""
    return label_track((Action(x.start_ns, x.end_ns, x.text, x.verb, x.object_class) for x in labels), Counter())


def read_label_file(path: Path, bag: Mapping[str, Any] | None = None) -> LabelFile:
    """Read and check a label file. bag: the identity of the bag that it lies beside; None = do not compare.

    Raises BadLabelFile, OtherBagsLabels.
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
        f"{path} holds no labels that can be read: {reason}; mend it (docs/labels.md), or move it away to use the "
        "labels in the bag itself"
    )


def _parsed(content: Any) -> LabelFile:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"its format is {content.get('format') if isinstance(content, dict) else None!r}, "
                         f"expected {FORMAT!r}")  # fmt: skip
    bag, sources, labels, revision = content["bag"], content["sources"], content["labels"], content["revision"]
    if not isinstance(bag, dict) or not isinstance(sources, dict) or not isinstance(labels, list):
        raise ValueError("bag and sources are expected to be objects, labels a list")
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
    """A label of plain JSON values. which: names it in errors. Raises ValueError."""
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
        raise ValueError(f"{which} has no text; a time in which nothing is done has no label")
    return label


def require_disjoint(labels: Sequence[Label]) -> None:
    """Raises ValueError unless labels are in the order of time, and each ends before the next starts."""
    for number, (label, following) in enumerate(pairwise(labels), 1):
        if following.start_ns <= label.start_ns or (label.end_ns or 0) > following.start_ns:
            raise ValueError(
                f"label {number} ({label.text!r:.60}) and label {number + 1} ({following.text!r:.60}) overlap, or are "
                "not in the order of time"
            )


def _require_same_bag(path: Path, made_for: Mapping[str, Any], bag: Mapping[str, Any]) -> None:
    """A bag that was recovered, and has lost its end, is still the same."""
    apart = made_for["first_frame_ns"] > bag["last_frame_ns"] or made_for["last_frame_ns"] < bag["first_frame_ns"]
    if made_for["session"] != bag["session"] or apart:
        raise OtherBagsLabels(
            f"{path} was made for session {made_for['session']!r} (frames {made_for['first_frame_ns']} to "
            f"{made_for['last_frame_ns']} ns), and lies beside session {bag['session']!r} ({bag['first_frame_ns']} to "
            f"{bag['last_frame_ns']} ns); move it to its own bag"
        )


def write_label_file(path: Path, labels: LabelFile) -> LabelFile:
    """Write atomically: a reader, or a machine that loses power, sees the old file or the new one, whole.

    labels.revision is that of the file which these replace (0 = there is none); the one that is returned is higher.
    Raises LabelsChanged when the file on the disk is not that one, LabelsNotWritable.
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
            write_text(path, json_text(labels), durable=True)
    except OSError as error:
        raise LabelsNotWritable(
            f"cannot write {path}: {error.strerror}; make room, or copy the bag elsewhere"
        ) from None
    return labels


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time; the lock ends with the process, and leaves no file behind."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def json_text(labels: LabelFile) -> str:
    """As in the file: one label a line, what is empty left out, so that it is read, compared and mended with ease."""
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
    """UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def new_source(sources: Mapping[str, Any], kind: str) -> str:
    """A key that is free: import-1, import-2, ..."""
    return next(key for key in (f"{kind}-{n}" for n in range(1, len(sources) + 2)) if key not in sources)


def fitted_between(new: Iterable[Action], there: Sequence[Label], left_out: Counter[str]) -> list[Action]:
    """Of `new`, those that overlap none of the labels that are there; the others are counted."""
    kept = []
    for action in new:
        if any(
            (label.end_ns is None or label.end_ns > action.start_ns)
            and (action.end_ns is None or action.end_ns > label.start_ns)
            for label in there
        ):
            left_out["labels at times that have one already"] += 1
        else:
            kept.append(action)
    return kept

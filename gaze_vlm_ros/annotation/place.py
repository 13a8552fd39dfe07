"""Puts actions beside a bag: what lies in its time, without overlaps, with their provenance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gaze_vlm_ros import __version__
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.labels.actions import Action
from gaze_vlm_ros.labels.label_file import (
    Label,
    LabelFile,
    LabelsExist,
    bag_identity,
    label_file_path,
    new_source,
    now_text,
    read_label_file,
    without_overlaps,
    write_label_file,
)
from gaze_vlm_ros.labels.track import actions_of, track_from_actions
from gaze_vlm_ros.session.session import Session

# A label that starts so soon after the last frame can still be what an observation before it is asked for.
AFTER_THE_VIDEO_S = 5.0


class NothingInTheVideo(GazeVlmError):
    """None of the labels is at a time that the bag covers."""


class NoLabelsFound(GazeVlmError):
    """There is nothing to put beside the bag."""


@dataclass(frozen=True)
class Placed:
    """What was written."""

    path: Path
    new: int
    labels: int  # with those that were there before
    distinct: int
    labelled_share: float  # of the video's time
    span_s: tuple[float, float]  # of the new ones, from the first frame on
    left_out: dict[str, int]
    used: dict[str, str]  # what of the source was taken for what

    def table(self) -> str:
        """For a person, one line each."""
        total = f" ({self.labels} with those that were there)" if self.labels != self.new else ""
        rows = [("labels", f"{self.new}{total}, {self.distinct} different, {self.labelled_share:.1%} of the video")]
        rows.append(("span", f"{self.span_s[0]:.3f} to {self.span_s[1]:.3f} s after the first frame"))
        rows += [(role, name) for role, name in self.used.items()]
        left_out = [f"{count} {what}" for what, count in sorted(self.left_out.items()) if count] or ["nothing"]
        rows += [("left out" if number == 0 else "", line) for number, line in enumerate(left_out)]
        return "\n".join(f"{name:<10}{value}" for name, value in [("file", str(self.path)), *rows])


def require_room(bag: Path, replace: bool, add: bool) -> None:
    """Raises LabelsExist where labels lie beside the bag already, and nobody said what shall become of them."""
    path = label_file_path(bag)
    if path.exists() and not replace and not add:
        raise LabelsExist(
            f"{path} exists already; use --replace to replace all of it, --add to add labels where it has none, or "
            "`gaze-vlm label review` to correct it"
        )


def within_bag(actions: Iterable[Action], session: Session, left_out: Counter[str]) -> list[Action]:
    """Those that touch the video's time, or start at most AFTER_THE_VIDEO_S after it. Raises NothingInTheVideo."""
    found = list(actions)
    first_ns, last_ns = int(session.frames.stamps_ns[0]), int(session.frames.stamps_ns[-1])
    latest_ns = last_ns + round(AFTER_THE_VIDEO_S * 1e9)
    before = [x for x in found if (x.end_ns if x.end_ns is not None else max(x.start_ns, first_ns + 1)) <= first_ns]
    after = [x for x in found if x.start_ns > latest_ns]
    left_out["labels that end before the video begins"] += len(before)
    left_out[f"labels that start more than {AFTER_THE_VIDEO_S:g} s after the video"] += len(after)
    if found and len(before) + len(after) == len(found):
        spans = [(x.start_ns - first_ns) / 1e9 for x in (found[0], found[-1])]
        raise NothingInTheVideo(
            f"none of the {len(found)} labels is in the {(last_ns - first_ns) / 1e9:.1f} s of {session.path}: they "
            f"start {spans[0]:.1f} to {spans[-1]:.1f} s after its first frame; give --offset-s, or --unit"
        )
    outside = {id(x) for x in (*before, *after)}
    return [x for x in found if id(x) not in outside]


def place(
    session: Session,
    actions: Iterable[Action],
    source: Mapping[str, Any],
    left_out: Counter[str],
    *,
    details: Mapping[int, Mapping[str, Any]] | None = None,  # more fields of a label, by the start of its action, ns
    used: Mapping[str, str] | None = None,
    replace: bool = False,  # the labels beside the bag
    add: bool = False,  # only where they have none
) -> Placed:
    """Write the label file of a session. source: provenance, whose "kind" names it.

    Raises LabelsExist, NothingInTheVideo, NoLabelsFound, and what read_label_file and write_label_file raise.
    """
    require_room(session.path, replace, add)
    path = label_file_path(session.path)
    bag = bag_identity(session.metadata.get("session", ""), session.frames.stamps_ns)
    there = read_label_file(path, bag) if path.exists() else LabelFile(bag, ())
    kept = there.labels if add else ()
    new = actions_of(track_from_actions(within_bag(actions, session, left_out), left_out))
    new = without_overlaps(new, kept, left_out)
    if not new:
        told = ", ".join(f"{count} {what}" for what, count in left_out.items() if count)
        raise NoLabelsFound(f"there is no label to put beside {session.path}" + (f": {told}" if told else ""))
    sources = {key: dict(value) for key, value in there.sources.items() if any(x.source == key for x in kept)}
    key = new_source(sources, str(source["kind"]))
    counted = {what: count for what, count in left_out.items() if count}
    sources[key] = {**source, "at": now_text(), "gaze_vlm_ros": __version__, "left_out": counted}
    labels = [
        Label(x.start_ns, x.end_ns, x.text, x.verb, x.object_class, key, **(details or {}).get(x.start_ns, {}))
        for x in new
    ]
    written = write_label_file(path, LabelFile(bag, (*kept, *labels), sources, there.revision))
    first_ns, last_ns = int(session.frames.stamps_ns[0]), int(session.frames.stamps_ns[-1])
    return Placed(
        path=path,
        new=len(labels),
        labels=len(written.labels),
        distinct=len({label.text for label in written.labels}),
        labelled_share=labelled_share(written.labels, first_ns, last_ns),
        span_s=tuple((x - first_ns) / 1e9 for x in (labels[0].start_ns, labels[-1].end_ns or last_ns)),  # type: ignore[arg-type]
        left_out=counted,
        used=dict(used or {}),
    )


def labelled_share(labels: Iterable[Label], first_ns: int, last_ns: int) -> float:
    """Of the time from first_ns to last_ns, how much has a label. Of an open label it is counted to the next one."""
    ordered = sorted(labels, key=lambda label: label.start_ns)
    following = [*(label.start_ns for label in ordered[1:]), last_ns]
    edges = [(x.start_ns, x.end_ns if x.end_ns is not None else until)
             for x, until in zip(ordered, following, strict=True)]  # fmt: skip
    held = sum(max(min(end, last_ns) - max(start, first_ns), 0) for start, end in edges)
    return float(np.clip(held / max(last_ns - first_ns, 1), 0, 1))

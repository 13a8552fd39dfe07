"""Placement of labels beside a bag: those within its time, without overlaps, with their provenance."""

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

# A label that starts this soon after the last frame can still be the next action of an observation before it.
AFTER_THE_VIDEO_S = 5.0


class NothingInTheVideo(GazeVlmError):
    """None of the labels lies within the time of the bag."""


class NoLabelsFound(GazeVlmError):
    """The source has no label for this bag."""


@dataclass(frozen=True)
class PlacementSummary:
    """What was written beside the bag, and what was left out."""

    path: Path
    new: int
    labels: int  # including earlier ones
    distinct: int
    labelled_share: float  # of the duration of the video
    span_s: tuple[float, float]  # start and end of the new ones, after the first frame
    left_out: dict[str, int]
    used: dict[str, str]  # what the source's columns or tiers were taken for

    def table(self) -> str:
        """Return the summary for a terminal, one fact a line."""
        total = f" ({self.labels} with earlier ones)" if self.labels != self.new else ""
        rows = [("labels", f"{self.new}{total}, {self.distinct} different, {self.labelled_share:.1%} of the video")]
        rows.append(("span", f"{self.span_s[0]:.3f} to {self.span_s[1]:.3f} s after the first frame"))
        rows += [(role, name) for role, name in self.used.items()]
        left_out = [f"{count} {what}" for what, count in sorted(self.left_out.items()) if count] or ["nothing"]
        rows += [("left out" if number == 0 else "", line) for number, line in enumerate(left_out)]
        return "\n".join(f"{name:<10}{value}" for name, value in [("file", str(self.path)), *rows])


def require_no_labels(bag: Path, replace: bool, add: bool) -> None:
    """Raise LabelsExist if the bag has a label file already and neither `replace` nor `add` is set."""
    path = label_file_path(bag)
    if path.exists() and not replace and not add:
        raise LabelsExist(
            f"{path} exists already; use --replace to replace all of it, --add to add labels where it has none, or "
            "`gaze-vlm label review` to correct it"
        )


def within_bag(actions: Iterable[Action], session: Session, left_out: Counter[str]) -> list[Action]:
    """Return the actions that overlap the video or start at most AFTER_THE_VIDEO_S after it.

    The others are counted in `left_out`. Raises NothingInTheVideo if all are outside.
    """
    found = list(actions)
    first_ns, last_ns = int(session.frames.stamps_ns[0]), int(session.frames.stamps_ns[-1])
    latest_ns = last_ns + round(AFTER_THE_VIDEO_S * 1e9)
    before = [x for x in found if (x.end_ns if x.end_ns is not None else max(x.start_ns, first_ns + 1)) <= first_ns]
    after = [x for x in found if x.start_ns > latest_ns]
    left_out["labels that end before the video starts"] += len(before)
    left_out[f"labels that start more than {AFTER_THE_VIDEO_S:g} s after the video"] += len(after)
    if found and len(before) + len(after) == len(found):
        spans = [(x.start_ns - first_ns) / 1e9 for x in (found[0], found[-1])]
        raise NothingInTheVideo(
            f"none of the {len(found)} labels is in the {(last_ns - first_ns) / 1e9:.1f} s of {session.path}: they "
            f"start {spans[0]:.1f} to {spans[-1]:.1f} s after its first frame; give --offset-s, or --unit"
        )
    outside = {id(x) for x in (*before, *after)}
    return [x for x in found if id(x) not in outside]


def place_labels(
    session: Session,
    actions: Iterable[Action],
    source: Mapping[str, Any],
    left_out: Counter[str],
    *,
    details: Mapping[int, Mapping[str, Any]] | None = None,  # other fields of a label, by the start of its action, ns
    used: Mapping[str, str] | None = None,
    replace: bool = False,  # the existing labels
    add: bool = False,  # keep the existing labels and add where they leave room
) -> PlacementSummary:
    """Write the label file of a session. source: provenance, whose "kind" names it.

    Raises LabelsExist, NothingInTheVideo, NoLabelsFound, and what read_label_file and write_label_file raise.
    """
    require_no_labels(session.path, replace, add)
    path = label_file_path(session.path)
    bag = bag_identity(session.metadata.get("session", ""), session.frames.stamps_ns)
    existing = read_label_file(path, bag) if path.exists() else LabelFile(bag, ())
    kept = existing.labels if add else ()
    new = actions_of(track_from_actions(within_bag(actions, session, left_out), left_out))
    new = without_overlaps(new, kept, left_out)
    if not new:
        reasons = ", ".join(f"{count} {what}" for what, count in left_out.items() if count)
        raise NoLabelsFound(f"no label to write beside {session.path}" + (f": {reasons}" if reasons else ""))
    sources = {key: dict(value) for key, value in existing.sources.items() if any(x.source == key for x in kept)}
    key = new_source(sources, str(source["kind"]))
    counted = {what: count for what, count in left_out.items() if count}
    sources[key] = {**source, "at": now_text(), "gaze_vlm_ros": __version__, "left_out": counted}
    labels = [
        Label(x.start_ns, x.end_ns, x.text, x.verb, x.object_class, key, **(details or {}).get(x.start_ns, {}))
        for x in new
    ]
    written = write_label_file(path, LabelFile(bag, (*kept, *labels), sources, existing.revision))
    first_ns, last_ns = int(session.frames.stamps_ns[0]), int(session.frames.stamps_ns[-1])
    return PlacementSummary(
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
    """Return the share of the time from first_ns to last_ns that has a label; an open label lasts until the next."""
    ordered = sorted(labels, key=lambda label: label.start_ns)
    following = [*(label.start_ns for label in ordered[1:]), last_ns]
    edges = [(x.start_ns, x.end_ns if x.end_ns is not None else until)
             for x, until in zip(ordered, following, strict=True)]  # fmt: skip
    labelled_ns = sum(max(min(end, last_ns) - max(start, first_ns), 0) for start, end in edges)
    return float(np.clip(labelled_ns / max(last_ns - first_ns, 1), 0, 1))

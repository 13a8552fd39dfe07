"""A label track: labels in the order of time, each of which holds until the next one starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.labels.actions import Action
from gaze_vlm_ros.labels.label_set import one_spelling


@dataclass(frozen=True)
class LabelTrack:
    """Action labels in the order of their start; each holds until the next. Empty text = unlabelled from there on.

    Texts, verbs and object classes have one spelling, see label_set.one_spelling.
    """

    starts_ns: NDArray[np.int64]  # (N,)
    texts: list[str]
    verbs: list[str]
    object_classes: list[str]

    def __post_init__(self) -> None:
        for name in ("texts", "verbs", "object_classes"):
            object.__setattr__(self, name, list(map(one_spelling, getattr(self, name))))

    def __len__(self) -> int:
        return len(self.texts)


def track_from_actions(actions: Iterable[Action], left_out: Counter[str]) -> LabelTrack:
    """Return the track with each action's label at its start, and an empty label at its end if nothing follows there.

    A label holds until the next, so an action ends where another starts. What a track cannot express is counted in
    `left_out`, by reason.
    """
    kept: list[Action] = []
    for action in sorted(actions, key=lambda action: action.start_ns):
        if not action.text:
            left_out["actions without a text"] += 1
        elif action.end_ns is not None and action.end_ns <= action.start_ns:
            left_out["actions that end before they start"] += 1
        elif kept and kept[-1].start_ns == action.start_ns:
            left_out["actions that start at the same time as another"] += 1
        else:
            kept.append(action)
    labels: list[Action] = []
    for action, following in zip_longest(kept, kept[1:]):
        labels.append(action)
        if action.end_ns is None:
            continue
        if following is None or following.start_ns > action.end_ns:
            labels.append(Action(action.end_ns, None, ""))
        elif following.start_ns < action.end_ns:
            left_out["remainders of actions that the next one cuts short"] += 1
    return LabelTrack(
        np.array([label.start_ns for label in labels], np.int64),
        [label.text for label in labels],
        [label.verb for label in labels],
        [label.object_class for label in labels],
    )


def actions_of(track: LabelTrack) -> list[Action]:
    """Return the actions of a track with their ends; the last one's end is None if no empty label follows it."""
    actions: list[Action] = []
    starts: list[int] = track.starts_ns.tolist()
    ends = [*starts[1:], None] if starts else []
    for start_ns, end_ns, text, verb, noun in zip(
        starts, ends, track.texts, track.verbs, track.object_classes, strict=True
    ):
        if text and start_ns != end_ns:  # the second of two labels at the same time holds
            actions.append(Action(start_ns, end_ns, text, verb, noun))
    return actions


def current_label(starts_ns: NDArray[np.int64], at_ns: int) -> int:
    """Return the row of the label that holds at `at_ns`: the last that started at or before it; -1 before the first.

    starts_ns: (N,) ascending. The row may have an empty text: the person then does nothing that was labelled.
    """
    return int(np.searchsorted(starts_ns, at_ns, side="right")) - 1


def next_label(starts_ns: NDArray[np.int64], texts: Sequence[str], at_ns: int, horizon_s: float) -> int:
    """Return the row of the first action that starts in (at_ns, at_ns + horizon]; -1 if none does.

    Empty texts end an action without starting one, so they are skipped: the action after a pause is the next one.
    """
    first = int(np.searchsorted(starts_ns, at_ns, side="right"))
    stop = int(np.searchsorted(starts_ns, at_ns + round(horizon_s * 1e9), side="right"))
    return next((row for row in range(first, stop) if texts[row]), -1)

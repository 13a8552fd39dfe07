"""Actions with a start and an end, as labels that each hold until the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np

from gaze_vlm_ros.labels.label_set import LabelTrack

BEGIN, END = ".begin", ".end"
RECORDING_BEGIN, RECORDING_END = "recording.begin", "recording.end"  # written by the Companion app itself


@dataclass(frozen=True)
class Action:
    """What a person does from start_ns to end_ns. end_ns None = until the next action starts."""

    start_ns: int
    end_ns: int | None
    text: str
    verb: str = ""
    object_class: str = ""


def label_track(actions: Iterable[Action], left_out: Counter[str]) -> LabelTrack:
    """Each action's label at its start, and an empty one at its end unless the next has started by then.

    A label holds until the next, so an action that is still going on when another starts ends there. What cannot be
    told so is counted in `left_out`, by reason.
    """
    kept: list[Action] = []
    for action in sorted(actions, key=lambda action: action.start_ns):
        if not action.text:
            left_out["actions without a text"] += 1
        elif action.end_ns is not None and action.end_ns <= action.start_ns:
            left_out["actions that end before they have started"] += 1
        elif kept and kept[-1].start_ns == action.start_ns:
            left_out["actions that start together with another"] += 1
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
            left_out["rests of actions during which another starts"] += 1
    return LabelTrack(
        np.array([label.start_ns for label in labels], np.int64),
        [label.text for label in labels],
        [label.verb for label in labels],
        [label.object_class for label in labels],
    )


def actions_from_events(stamps_ns: Sequence[int], names: Sequence[str], left_out: Counter[str]) -> list[Action]:
    """Actions of named moments, in time order.

    NAME.begin and NAME.end bound the action NAME; any other name is an action from there until the next one, or until
    recording.end. An end without a beginning is counted in `left_out`.
    """
    events = sorted(zip(stamps_ns, names, strict=True))
    actions: list[Action] = []
    ended: set[int] = set()
    for number, (stamp_ns, name) in enumerate(events):
        if name in (RECORDING_BEGIN, RECORDING_END):
            continue
        if name.endswith(END):
            if number not in ended:
                left_out[f"events that end what has not begun (NAME{END})"] += 1
            continue
        text, end_ns = name.removesuffix(BEGIN), None
        if name.endswith(BEGIN):
            ends = (later for later in range(number, len(events)) if events[later][1] == text + END)
            match = next((later for later in ends if later not in ended), None)
            if match is not None:
                ended.add(match)
                end_ns = events[match][0]
        actions.append(Action(stamp_ns, end_ns, text))
    recording_end_ns = next((stamp_ns for stamp_ns, name in events if name == RECORDING_END), None)
    if actions and actions[-1].end_ns is None:
        actions[-1] = replace(actions[-1], end_ns=recording_end_ns)
    return actions

"""Actions: what a person does, with a start and an end, and how a recording's named events become actions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

BEGIN, END = ".begin", ".end"
RECORDING_BEGIN, RECORDING_END = "recording.begin", "recording.end"  # events that the Companion app writes itself


@dataclass(frozen=True)
class Action:
    """What a person does from start_ns to end_ns, ROS time. end_ns None = until the next action starts."""

    start_ns: int
    end_ns: int | None
    text: str
    verb: str = ""
    object_class: str = ""


def actions_from_events(stamps_ns: Sequence[int], names: Sequence[str], left_out: Counter[str]) -> list[Action]:
    """Return the actions that named events describe, in the order of time.

    NAME.begin and NAME.end bound the action NAME. Any other name starts an action that lasts until the next one, or
    until recording.end. An end without a beginning is counted in `left_out`.
    """
    events = sorted(zip(stamps_ns, names, strict=True))
    actions: list[Action] = []
    ended: set[int] = set()
    for number, (stamp_ns, name) in enumerate(events):
        if name in (RECORDING_BEGIN, RECORDING_END):
            continue
        if name.endswith(END):
            if number not in ended:
                left_out[f"end events without a beginning (NAME{END})"] += 1
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

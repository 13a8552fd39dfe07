"""What a planner did with live predictions: right and wrong starts, and how early."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

# As examples/handover_planner.py prints them.
_BEGIN = re.compile(r"robot: begin helping with '(?P<action>.*)'$")


@dataclass(frozen=True)
class PlannerStart:
    """The robot began to help with an action."""

    at_ns: int  # ROS time
    action: str


def starts_in(lines: Sequence[tuple[int, str]]) -> list[PlannerStart]:
    """Return the starts among the planner's lines. lines: (ROS time at which the line was there, ns; its text)."""
    found = ((at_ns, _BEGIN.search(line)) for at_ns, line in lines)
    return [PlannerStart(at_ns, match["action"]) for at_ns, match in found if match]


def planner_record(
    starts: Sequence[PlannerStart], actions: Sequence[tuple[int, str]], horizon_s: float, end_ns: int
) -> dict[str, Any]:
    """Return how many starts were right, wrong, or early, and how long before the action the right ones came.

    A start is right where the next action is the one that it names and begins within the horizon, early where it begins
    later, and wrong otherwise. A start whose horizon reaches beyond the end counts as open where no action follows.
    actions: (begin, ns; text), in order. end_ns: of what was watched.
    """
    counts = dict.fromkeys(("right", "early", "wrong", "open"), 0)
    leads_s = []
    helped: set[int] = set()
    for start in starts:
        following = [(at_ns, text) for at_ns, text in actions if at_ns > start.at_ns]
        if not following:
            counts["open" if start.at_ns + horizon_s * 1e9 > end_ns else "wrong"] += 1
            continue
        at_ns, text = following[0]
        lead_s = (at_ns - start.at_ns) / 1e9
        if text != start.action:
            counts["wrong"] += 1
        elif lead_s > horizon_s:
            counts["early"] += 1
        else:
            counts["right"] += 1
            leads_s.append(lead_s)
            helped.add(at_ns)
    return {
        "starts": len(starts),
        **counts,
        "actions": len(actions),
        "actions_helped": len(helped),
        "lead_s": {"median": float(np.median(leads_s)), "least": min(leads_s), "most": max(leads_s)}
        if leads_s
        else None,
        "log": [asdict(start) for start in starts],
    }

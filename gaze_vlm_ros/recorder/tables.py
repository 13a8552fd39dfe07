"""Texts that the recorder shows: the live table, the line of a log, and the totals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gaze_vlm_ros.recorder.tally import TopicTally


@dataclass(frozen=True)
class TopicState:
    """State of one topic in a report."""

    name: str
    rate_hz: float  # over the last report period
    tally: TopicTally
    note: str = ""  # e.g. the share of valid gaze


def live_table(topics: Sequence[TopicState], free_bytes: int, seconds_left: float, doing: str) -> str:
    """Return the live table, one line per topic.

    seconds_left: s until the disk is full; infinite = not known yet. doing: e.g. "recording for 12 s".
    """
    width = max([len("topic"), *(len(topic.name) for topic in topics)])
    lines = [f"{'topic':<{width}}      rate  longest gap  received   written      lost"]
    for topic in topics:
        tally = topic.tally
        gap = f"{tally.max_gap_s:9.3f} s" if tally.stamped else "          -"
        counts = f"{tally.taken:8d}  {tally.written:8d}  {tally.lost_text:>8}"
        lines.append(f"{topic.name:<{width}}  {topic.rate_hz:5.0f} Hz  {gap}  {counts}  {topic.note}".rstrip())
    left = f", room for {seconds_left / 60:.0f} minutes" if math.isfinite(seconds_left) else ""
    return "\n".join([*lines, f"{doing}; {free_bytes / 1e9:.1f} GB free{left}"])


def live_line(topics: Sequence[TopicState], free_bytes: int, seconds_left: float, doing: str) -> str:
    """Return the live table as one line for a log, without topics that never had a message."""
    parts = [
        f"{topic.name} {topic.tally.written} written ({topic.rate_hz:.0f} Hz, "
        + (f"longest gap {topic.tally.max_gap_s:.3f} s, " if topic.tally.stamped else "")
        + f"{topic.tally.lost_text} lost"
        + (f", {topic.note})" if topic.note else ")")
        for topic in topics
        if topic.tally.received
    ]
    left = f", room for {seconds_left / 60:.0f} minutes" if math.isfinite(seconds_left) else ""
    return f"{doing}: {', '.join(parts) or 'no message yet'}; {free_bytes / 1e9:.1f} GB free{left}"


def totals_table(tallies: Mapping[str, TopicTally]) -> str:
    """Return a table of the messages recorded and lost, one line per topic."""
    width = max([len("topic"), *map(len, tallies)])
    lines = [f"{'topic':<{width}}  received   written      lost  longest gap"]
    for name, tally in tallies.items():
        gap = f"{tally.max_gap_s:9.3f} s" if tally.stamped else "          -"
        lines.append(f"{name:<{width}}  {tally.taken:8d}  {tally.written:8d}  {tally.lost_text:>8}  {gap}")
    return "\n".join(lines)

"""What `gaze-vlm doctor` finds on a running robot: one line each, with what to do. Nothing here asks ROS."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gaze_vlm_ros.inspection.finding import Severity

AHEAD_S = 0.5  # the predictor calls a frame that is stamped further ahead STALE_INPUT
BEHIND_S = 1.0  # a frame this old leaves little of a horizon of 2 s
LEAST_HZ = 4.0  # a model sees frames of the last seconds
LEAST_FREE_BYTES = 5_000_000_000  # 1 h of JPEG at 30 Hz takes about 4 GB


class Line(NamedTuple):
    """One finding."""

    severity: Severity
    text: str


class Endpoint(NamedTuple):
    """A publisher or subscription of a topic."""

    node: str
    type_name: str
    reliable: bool


class TopicView(NamedTuple):
    """What was seen of a topic."""

    name: str
    publishers: tuple[Endpoint, ...]
    subscriptions: tuple[Endpoint, ...]
    received: int  # messages within `seconds`
    seconds: float
    ahead_s: float | None  # newest stamp minus our clock when it came; None = no stamp seen


def topic_lines(role: str, view: TopicView, types: Sequence[str], parameter: str, needed: bool) -> list[Line]:
    """Judge one topic. types: those that the role allows. parameter: what sets its name. needed: absent is an error."""
    if not view.publishers:
        todo = f"start its source, or set {parameter}"
        return [Line("error" if needed else "note", f"{role}: nobody publishes {view.name}; {todo}")]
    found = sorted({publisher.type_name for publisher in view.publishers})
    if any(name not in types for name in found):
        expected = " or ".join(types)
        return [
            Line("error", f"{role}: {view.name} carries {' and '.join(found)}, expected {expected}; set {parameter}")
        ]
    lines = [
        Line(
            "error",
            f"{role}: {reader.node} reads {view.name} reliably, {writer.node} offers best effort, so it hears nothing; "
            f"restart {reader.node} after the source, or give both the same reliability",
        )
        for writer in view.publishers
        for reader in view.subscriptions
        if reader.reliable and not writer.reliable
    ]
    quality = "reliable" if all(publisher.reliable for publisher in view.publishers) else "best effort"
    if not view.received:
        return [*lines, Line("error", f"{role}: {view.name} ({found[0]}, {quality}) is published, but nothing came in "
                     f"{view.seconds:g} s; see docs/networks.md, and whether its source is running")]  # fmt: skip
    rate_hz = view.received / view.seconds
    slow = rate_hz < LEAST_HZ
    lines.append(
        Line(
            "warning" if slow else "ok",
            f"{role}: {view.name} ({found[0]}, {quality}) at {rate_hz:.1f} Hz"
            + (f", expected at least {LEAST_HZ:g} Hz; free the network or the source" if slow else ""),
        )
    )
    if view.ahead_s is not None:
        lines.append(clock_line(role, view.ahead_s))
    return lines


def clock_line(role: str, ahead_s: float) -> Line:
    """Judge the difference of a source's stamps to our clock."""
    if ahead_s > AHEAD_S:
        return Line("error", f"{role}: stamps are {ahead_s:.1f} s ahead of this clock, and nothing will be answered; "
                    "let one clock follow the other (chrony, PTP), or set use_sim_time on both or none")  # fmt: skip
    if ahead_s < -BEHIND_S:
        return Line("warning", f"{role}: stamps are {-ahead_s:.1f} s old when they come; let one clock follow the "
                    "other (chrony, PTP), or look for what delays them")  # fmt: skip
    return Line("ok", f"{role}: stamps are {abs(ahead_s):.2f} s {'ahead of' if ahead_s > 0 else 'behind'} this clock")


def disk_line(folder: Path, free_bytes: int) -> Line:
    """Judge the room for a recording."""
    if free_bytes < LEAST_FREE_BYTES:
        return Line("warning", f"disk: {free_bytes / 1e9:.1f} GB are free in {folder}, expected at least "
                    f"{LEAST_FREE_BYTES / 1e9:g} for an hour; free some space, or record to another disk")  # fmt: skip
    return Line("ok", f"disk: {free_bytes / 1e9:.1f} GB are free in {folder}")


def gpu_line(names: Sequence[str] | None) -> Line:
    """Say which GPUs torch sees. None = torch is not installed."""
    if names is None:
        return Line("note", "GPU: torch is not installed here; only recorded answers and remote servers work")
    if not names:
        return Line("note", "GPU: torch sees none; the model runs on the CPU")
    return Line("ok", f"GPU: {', '.join(names)}")


def exit_code_of(lines: Sequence[Line]) -> int:
    """Return 1 where something is wrong: a warning or an error."""
    return int(any(line.severity in ("warning", "error") for line in lines))


def report(lines: Sequence[Line]) -> str:
    """One line each, as `severity  text`."""
    return "\n".join(f"{line.severity:<8}{line.text}" for line in lines)

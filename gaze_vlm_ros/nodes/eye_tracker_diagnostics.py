"""What the eye_tracker node reports about the glasses: /diagnostics once a second, and a summary at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from diagnostic_msgs.msg import DiagnosticStatus

from gaze_vlm_ros.neon.client import EYE_EVENTS, StreamState
from gaze_vlm_ros.neon.device_clock import DeviceClock
from gaze_vlm_ros.neon.gaze_delay import GazeDelay
from gaze_vlm_ros.neon.stream import NeonStream


class PartStatus(NamedTuple):
    """Level, text and figures of one part, as DiagnosticStatus has them."""

    part: str
    level: bytes
    text: str
    values: Mapping[str, object]


NOT_CONNECTED = PartStatus("glasses", DiagnosticStatus.WARN, "not connected", {})


def device_status(
    clock: DeviceClock, states: Mapping[str, StreamState], gaze_delay: GazeDelay, frames_dropped: int
) -> PartStatus:
    """Report on the device as a whole: ERROR while a stream is lost, WARN before the clock is known, otherwise OK."""
    if (latest := clock.latest) is None:
        return NOT_CONNECTED
    level, text = DiagnosticStatus.OK, "receiving"
    if lost := ", ".join(name for name, state in states.items() if state.lost):
        level, text = DiagnosticStatus.ERROR, f"lost: {lost}"
    values: dict[str, object] = {
        "clock offset host - device [ms]": f"{latest.offset_ns / 1e6:.3f}",
        "clock offset uncertainty [ms]": f"{latest.uncertainty_ns / 1e6:.3f}",
        "round trip [ms]": f"{latest.round_trip_ns / 1e6:.3f}",
        "clock drift of the device [ppm]": f"{clock.drift_ppm:.2f}",
        "clock steps": clock.steps,
        "impossible stamps refused": stamps_refused([state.stream for state in states.values()]),
        "frames dropped": frames_dropped,
        "reconnections": sum(state.connections for state in states.values()),
    }
    if EYE_EVENTS in states:
        values["longest delay of an eye event [ms]"] = f"{gaze_delay.longest_event_delay_ms:.0f}"
        values["eye states that a later event contradicted"] = gaze_delay.states.contradicted
    return PartStatus("glasses", level, text, values)


class StreamReports:
    """Reports on each stream; compares its losses with those of the report before."""

    def __init__(self) -> None:
        self._lost_before: dict[str, int] = {}

    def report(self, name: str, state: StreamState) -> PartStatus:
        """ERROR while the stream is lost; WARN while it loses samples or they wait for their time; otherwise OK."""
        stream = state.stream
        losses = stream.losses()
        lost = sum(losses.values())
        lost_now = lost - self._lost_before.get(name, 0)
        self._lost_before[name] = lost
        level, text = DiagnosticStatus.OK, "receiving"
        if state.lost:
            level, text = DiagnosticStatus.ERROR, f"lost: {state.lost}"
        elif stream.waiting > 1:
            level, text = DiagnosticStatus.WARN, f"{stream.waiting} samples wait for their time"
        elif lost_now:
            level, text = DiagnosticStatus.WARN, f"{lost_now} packets or samples lost or refused since the last report"
        elif not stream.delivered:
            level, text = DiagnosticStatus.WARN, "nothing has arrived yet"
        values: dict[str, object] = {
            "delivered": stream.delivered,
            "connections that ended": state.connections,
            **losses,
        }
        if stream.last_unreadable:
            values["last that was unreadable"] = stream.last_unreadable
        return PartStatus(f"stream {name}", level, text, values)


def stamps_refused(streams: Sequence[NeonStream]) -> int:
    """Number of samples refused for an impossible stamp."""
    return sum(sum(stream.guard.refused.values()) for stream in streams)


def summary_lines(
    delivered: Mapping[str, int], streams: Sequence[NeonStream], frames_dropped: int, gaze_held: int
) -> list[str]:
    """Summarize a run for the screen: what was delivered, then one line for each stream that lost something."""
    counts = ", ".join(f"{count} {name}" for name, count in delivered.items())
    lost = f"{stamps_refused(streams)} stamps refused, {frames_dropped} frames dropped"
    if gaze_held:
        lost += f", {gaze_held} gaze samples still held for their eye state"
    lines = [f"the glasses delivered {counts}; {lost}"]
    for stream in streams:
        if losses := ", ".join(f"{count} {what}" for what, count in stream.losses().items() if count):
            lines.append(f"{stream.name} lost {losses}")
    return lines

"""Fixations, saccades and blinks that the app detected while it recorded, as messages of the live stream."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

# Rows of `fixations psN.raw` (fixations and saccades) and `blinks psN.raw`; the live stream has the same, big endian.
_POINTS = ("start_gaze_x", "start_gaze_y", "end_gaze_x", "end_gaze_y", "mean_gaze_x", "mean_gaze_y")
_MEASURES = ("amplitude_pixels", "amplitude_angle_deg", "mean_velocity", "max_velocity")
_SPAN = [("start_timestamp_ns", "<i8"), ("end_timestamp_ns", "<i8")]
FIXATION_ROW = np.dtype([("event_type", "<i4"), *_SPAN, *((name, "<f4") for name in _POINTS + _MEASURES)])
BLINK_ROW = np.dtype(_SPAN)


class Kind(IntEnum):
    """Types of the live stream's messages."""

    SACCADE = 0
    FIXATION = 1
    SACCADE_ONSET = 2
    FIXATION_ONSET = 3
    BLINK = 4
    KEEP_ALIVE = 5


@dataclass(frozen=True)
class EyeEvent:
    """One message: what began or ended, on the recording's clock; an onset has no end."""

    kind: Kind
    start_ns: int
    end_ns: int = 0
    measures: tuple[float, ...] = (0.0,) * len(_POINTS + _MEASURES)  # of fixations and saccades, in the row's order

    @property
    def known_ns(self) -> int:
        """When the last gaze sample was taken that the event depends on."""
        return max(self.start_ns, self.end_ns)

    def payload(self, shift_ns: int) -> bytes:
        """The RTP payload, with the event's times later by `shift_ns`."""
        if self.kind == Kind.KEEP_ALIVE:
            return struct.pack("!i", self.kind)
        if self.kind in (Kind.SACCADE_ONSET, Kind.FIXATION_ONSET):
            return struct.pack("!iq", self.kind, self.start_ns + shift_ns)
        span = struct.pack("!iqq", self.kind, self.start_ns + shift_ns, self.end_ns + shift_ns)
        return span if self.kind == Kind.BLINK else span + struct.pack(f"!{len(self.measures)}f", *self.measures)


def read_eye_events(folder: Path) -> list[EyeEvent]:
    """Events of a native recording in the order in which they become known; empty where the app recorded none.

    The recording has whole fixations and saccades; the message at their onset is made from their start.
    """
    events = []
    for row in _rows(folder, "fixations", FIXATION_ROW):
        event_type, start_ns, end_ns, *measures = row.tolist()
        if event_type in (Kind.SACCADE, Kind.FIXATION):
            onset = Kind.SACCADE_ONSET if event_type == Kind.SACCADE else Kind.FIXATION_ONSET
            events += [EyeEvent(onset, start_ns), EyeEvent(Kind(event_type), start_ns, end_ns, tuple(measures))]
    events += [EyeEvent(Kind.BLINK, *row.tolist()) for row in _rows(folder, "blinks", BLINK_ROW)]
    return sorted(events, key=lambda event: event.known_ns)


def _rows(folder: Path, stem: str, row: npt.DTypeLike) -> npt.NDArray[np.void]:
    paths = sorted(folder.glob(f"{stem} ps*.raw"), key=lambda path: path.name)
    return np.concatenate([np.empty(0, row), *(np.fromfile(path, row) for path in paths)])

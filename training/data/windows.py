"""Cuts sessions into windows: the frames up to a moment, and what the person did after it (or is doing)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.labels.label_set import current_label, next_label
from gaze_vlm_ros.video.frame_selection import pick_frames

if TYPE_CHECKING:
    from gaze_vlm_ros.session.session import Session
    from training.settings import Settings


class NoWindows(GazeVlmError):
    """Nothing to train on or to evaluate."""


@dataclass(frozen=True)
class Window:
    """One question with its answer. `frames` index the session's frames; none is later than at_ns."""

    session: int  # index into the list of sessions
    at_ns: int  # stamp of the last frame
    frames: tuple[int, ...]
    answer: str
    answer_start_ns: int  # when the answered action starts; after at_ns in task future, at or before it in current


@dataclass
class CutCounts:
    """What became of every moment that was considered."""

    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)  # by reason

    def __str__(self) -> str:
        reasons = reasons_text(dict(sorted(self.dropped.items())))
        return f"{self.kept} windows" + (f"; dropped: {reasons}" if reasons else "")


def reasons_text(dropped: Mapping[str, int]) -> str:
    """How many moments made no window, by reason; empty where all did."""
    return ", ".join(f"{count} {reason}" for reason, count in dropped.items())


def cut_windows(index: int, session: Session, settings: Settings) -> tuple[list[Window], CutCounts]:
    """All windows of one session, in time order. Needs labels (session.require_labels).

    A moment is always a frame's stamp, because the predictor is asked when a frame arrives: a wanted time is moved back
    to the last frame at or before it, and moments that coincide count once. The frames before it are picked by the time
    that was wanted, up to one frame later than the predictor would pick them, so that windows a step of the observation
    apart show the same frames: each of these is decoded, resized and given its gaze once (see conversion).
    """
    assert session.labels is not None
    stamps_ns, starts_ns = session.frames.stamps_ns, np.asarray(session.labels.starts_ns, dtype=np.int64)
    texts = session.labels.texts
    windows: list[Window] = []
    counts = CutCounts()
    for at_ns, wanted_ns in _moments(stamps_ns, starts_ns, texts, settings):
        if settings.task == "future":
            row = next_label(starts_ns, texts, at_ns, settings.horizon_s)
        else:
            row = current_label(starts_ns, at_ns)
        if row < 0 or not texts[row]:
            counts.dropped["without an action in the horizon" if settings.task == "future" else "unlabelled"] += 1
            continue
        picked = pick_frames(stamps_ns, wanted_ns, settings.observation_s, settings.frames)
        if not len(picked):
            counts.dropped["with too few frames before them"] += 1
            continue
        windows.append(Window(index, at_ns, tuple(int(i) for i in picked), texts[row], int(starts_ns[row])))
    counts.kept = len(windows)
    return windows, counts


def _moments(
    stamps_ns: NDArray[np.int64], starts_ns: NDArray[np.int64], texts: Sequence[str], settings: Settings
) -> list[tuple[int, int]]:
    """(stamp of the last frame, the time that was wanted) of each moment, ns, in their order."""
    wanted_ns: list[int] = []
    if settings.stride_s:
        stride_ns = round(settings.stride_s * 1e9)
        wanted_ns += range(int(stamps_ns[0]) + round(settings.observation_s * 1e9), int(stamps_ns[-1]) + 1, stride_ns)
    if settings.task == "future":
        leads_ns = [round(lead * 1e9) for lead in settings.leads_s]
        wanted_ns += [
            int(start) - lead for start, text in zip(starts_ns, texts, strict=True) if text for lead in leads_ns
        ]
    wanted_ns.sort(reverse=True)  # of moments that coincide the earliest stands
    positions = np.searchsorted(stamps_ns, np.asarray(wanted_ns, dtype=np.int64), side="right") - 1
    moments = {int(stamps_ns[at]): wanted for at, wanted in zip(positions, wanted_ns, strict=True) if at >= 0}
    return sorted(moments.items())

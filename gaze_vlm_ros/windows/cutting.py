"""Cut sessions into windows: the frames up to a moment, and what the person does then or does next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.labels.track import current_label, next_label
from gaze_vlm_ros.session.session import Session, require_labels
from gaze_vlm_ros.video.frame_selection import pick_frames
from gaze_vlm_ros.windows.settings import WindowSettings


class NoWindows(GazeVlmError):
    """There is no window to train on or to evaluate."""


@dataclass(frozen=True)
class Window:
    """One question about some frames of a session, and its true answer."""

    session: int  # index into the caller's list of sessions
    at_ns: int  # stamp of the last frame
    frames: tuple[int, ...]  # indices into the session's frames, oldest first; none is later than at_ns
    answer: str  # text of the label
    answer_start_ns: int  # start of that label: after at_ns for task future, at or before it for task current


@dataclass
class CutCounts:
    """How many of the moments considered became windows, and why the others did not."""

    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)  # number of moments by reason

    def __str__(self) -> str:
        reasons = reasons_text(dict(sorted(self.dropped.items())))
        return f"{self.kept} windows" + (f"; dropped: {reasons}" if reasons else "")


def reasons_text(dropped: Mapping[str, int]) -> str:
    """Return the number of moments that made no window by reason, for people; "" if there are none."""
    return ", ".join(f"{count} {reason}" for reason, count in dropped.items())


def cut_windows(index: int, session: Session, settings: WindowSettings) -> tuple[list[Window], CutCounts]:
    """Return all windows of one session in time order, and how many moments were considered.

    A moment is always the stamp of a frame, because the predictor runs when a frame arrives: a requested time moves
    back to the last frame at or before it, and moments that coincide count once. The frames of a window are picked by
    the requested time, up to one frame later than the predictor would pick them. Windows one part of an observation
    apart then show the same frames, and each frame is decoded, resized and given its gaze once.

    index: stored as Window.session. Raises NoLabels.
    """
    labels = require_labels(session)
    stamps_ns, starts_ns = session.frames.stamps_ns, np.asarray(labels.starts_ns, dtype=np.int64)
    texts = labels.texts
    windows: list[Window] = []
    counts = CutCounts()
    for at_ns, requested_ns in _moments(stamps_ns, starts_ns, texts, settings):
        if settings.task == "future":
            row = next_label(starts_ns, texts, at_ns, settings.horizon_s)
        else:
            row = current_label(starts_ns, at_ns)
        if row < 0 or not texts[row]:
            counts.dropped["without an action in the horizon" if settings.task == "future" else "unlabelled"] += 1
            continue
        picked = pick_frames(stamps_ns, requested_ns, settings.observation_s, settings.frames)
        if not len(picked):
            counts.dropped["with too few frames before them"] += 1
            continue
        windows.append(Window(index, at_ns, tuple(int(i) for i in picked), texts[row], int(starts_ns[row])))
    counts.kept = len(windows)
    return windows, counts


def _moments(
    stamps_ns: NDArray[np.int64], starts_ns: NDArray[np.int64], texts: Sequence[str], settings: WindowSettings
) -> list[tuple[int, int]]:
    """Return (stamp of the last frame, requested time) of each moment, ns, ascending."""
    requested_ns: list[int] = []
    if settings.stride_s:
        stride_ns = round(settings.stride_s * 1e9)
        requested_ns += range(
            int(stamps_ns[0]) + round(settings.observation_s * 1e9), int(stamps_ns[-1]) + 1, stride_ns
        )
    if settings.task == "future":
        leads_ns = [round(lead * 1e9) for lead in settings.leads_s]
        requested_ns += [
            int(start) - lead for start, text in zip(starts_ns, texts, strict=True) if text for lead in leads_ns
        ]
    requested_ns.sort(reverse=True)  # the earliest of moments that coincide is kept, as it comes last
    positions = np.searchsorted(stamps_ns, np.asarray(requested_ns, dtype=np.int64), side="right") - 1
    moments = {int(stamps_ns[at]): requested for at, requested in zip(positions, requested_ns, strict=True) if at >= 0}
    return sorted(moments.items())

"""Cut sessions into windows: the frames up to a moment, and what the person does then or does next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.labels.track import current_label, next_label
from gaze_vlm_ros.session.session import Session, require_labels
from gaze_vlm_ros.video.frame_selection import pick_frames
from gaze_vlm_ros.windows.epic_kitchens import moments_before_actions
from gaze_vlm_ros.windows.settings import WindowSettings


class NoWindows(GazeVlmError):
    """There is no window to train on or to evaluate."""


@dataclass(frozen=True)
class Window:
    """One question about some frames of a session, and its true answer."""

    session: int  # index into the caller's list of sessions
    at_ns: int  # stamp of the last frame
    frames: tuple[int, ...]  # indices into the session's frames, oldest first; none is later than at_ns
    answer: str  # text of the label; "" = nothing begins
    answer_start_ns: int  # start of that label: after at_ns for task future, at or before it for task current; 0 = none
    # Time after at_ns in which nothing begins and after which nothing is known, s: the answer is right-censored there.
    known_s: float | None = None  # None = the answer is known
    of_stream: bool = True  # one of the moments of the stream, not one that leads_s adds
    # The label that holds at at_ns, "" = between labels; None = not known, as labels have not begun
    now: str | None = None
    now_start_ns: int = 0  # start of that label, or of the time without one; 0 = not known

    @property
    def lead_s(self) -> float | None:
        """Time from the last frame to the start of the label, s; None where nothing begins."""
        return (self.answer_start_ns - self.at_ns) / 1e9 if self.answer else None


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
    own = settings.protocol == "own"
    asked: Iterable[tuple[int, int, bool, int]]
    if own:
        asked = ((at_ns, *moment, -1) for at_ns, moment in _moments(stamps_ns, starts_ns, texts, settings))
    else:
        asked = (
            (at_ns, requested_ns, True, row)
            for at_ns, requested_ns, row in moments_before_actions(stamps_ns, starts_ns, texts)
        )
    for at_ns, requested_ns, of_stream, row in asked:
        known_s, reason = None, ""
        if own and settings.task == "future":
            row = next_label(starts_ns, texts, at_ns, settings.horizon_s)
            reason = "without an action in the horizon"
            if row < 0 and settings.is_stream:
                known_s, reason = without_action(at_ns, int(stamps_ns[-1]), starts_ns, texts, settings.horizon_s)
        elif own:
            row = current_label(starts_ns, at_ns)
            reason = "unlabelled"
        if (row < 0 or not texts[row]) and reason:
            counts.dropped[reason] += 1
            continue
        picked = pick_frames(stamps_ns, requested_ns, settings.observation_s, settings.frames)
        if not len(picked):
            counts.dropped["with too few frames before them"] += 1
            continue
        answer, start_ns = (texts[row], int(starts_ns[row])) if row >= 0 else ("", 0)
        held = current_label(starts_ns, at_ns)
        now, now_start_ns = (texts[held], int(starts_ns[held])) if held >= 0 else (None, 0)
        frames = tuple(int(i) for i in picked)
        windows.append(Window(index, at_ns, frames, answer, start_ns, known_s, of_stream, now, now_start_ns))
    counts.kept = len(windows)
    return windows, counts


def without_action(
    at_ns: int, last_frame_ns: int, starts_ns: NDArray[np.int64], texts: Sequence[str], horizon_s: float
) -> tuple[float | None, str]:
    """Return, for a moment after which no action begins within the horizon, what is known of it and a reason.

    (time for which it is known that nothing begins, if that is less than the horizon, s, else None; "").

    Returns (None, reason) where nothing at all is known. An action without an end holds until the last frame; a last
    label without a text ends what is labelled.
    """
    if not len(starts_ns) or at_ns < starts_ns[0]:
        return None, "before the labels begin"
    known_until_ns = int(starts_ns[-1]) if not texts[-1] else max(last_frame_ns, int(starts_ns[-1]))
    known_s = (known_until_ns - at_ns) / 1e9
    if known_s <= 0:
        return None, "without a known future"
    return (None if known_s >= horizon_s else known_s), ""


def _moments(
    stamps_ns: NDArray[np.int64], starts_ns: NDArray[np.int64], texts: Sequence[str], settings: WindowSettings
) -> list[tuple[int, tuple[int, bool]]]:
    """Return (stamp of the last frame, (requested time, whether it is of the stream)) of each moment, ns, ascending."""
    requested: list[tuple[int, bool]] = []
    first_ns, last_ns = int(stamps_ns[0]) + round(settings.observation_s * 1e9), int(stamps_ns[-1])
    if settings.is_stream:
        every_ns = round(settings.moments_every_s * 1e9)
        grid_ns = np.arange(first_ns, last_ns + 1, every_ns)
        jitter = np.random.default_rng([int(stamps_ns[0]) & 0x7FFFFFFFFFFFFFFF]).uniform(-0.5, 0.5, len(grid_ns))
        jittered_ns = grid_ns + (jitter * settings.moments_jitter * every_ns).astype(np.int64)
        requested += [(at_ns, True) for at_ns in np.clip(jittered_ns, first_ns, last_ns).tolist()]
    elif settings.stride_s:
        requested += [(at_ns, True) for at_ns in range(first_ns, last_ns + 1, round(settings.stride_s * 1e9))]
    if settings.task == "future":
        leads_ns = [round(lead * 1e9) for lead in settings.leads_s]
        requested += [
            (int(start) - lead, not settings.is_stream)
            for start, text in zip(starts_ns, texts, strict=True)
            if text
            for lead in leads_ns
        ]
    # The earliest of moments that coincide is kept, as it comes last; before it, one of the stream.
    requested.sort(key=lambda moment: (moment[1], -moment[0]))
    asked_ns = np.asarray([at_ns for at_ns, _ in requested], dtype=np.int64)
    positions = np.searchsorted(stamps_ns, asked_ns, side="right") - 1
    moments = {int(stamps_ns[at]): moment for at, moment in zip(positions, requested, strict=True) if at >= 0}
    return sorted(moments.items())

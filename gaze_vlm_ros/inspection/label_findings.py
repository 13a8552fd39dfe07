"""Findings about labels, and about the windows that a fit would cut."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.inspection.finding import LABELS_SHOWN, Finding, counted, graded, worse
from gaze_vlm_ros.inspection.stream_findings import Frames
from gaze_vlm_ros.session.session import LabelTrack, Session, require_labels
from gaze_vlm_ros.session.span import LONGEST_SESSION_S
from gaze_vlm_ros.terminal.text import printable
from gaze_vlm_ros.windows.cutting import cut_windows
from gaze_vlm_ros.windows.settings import WindowSettings


def label_coverage(labels: LabelTrack, frames_ns: NDArray[np.int64]) -> Finding:
    """Return the share of the time that is labelled, and labels outside the video.

    frames_ns: (N,) stamps of the frames, ascending.
    """
    first_ns, last_ns = int(frames_ns[0]), int(frames_ns[-1])
    starts_ns = np.clip(labels.starts_ns, first_ns, last_ns)
    held_s = np.diff(np.append(starts_ns, last_ns)) / 1e9
    named = np.array([bool(text) for text in labels.texts])
    span_s = max((last_ns - first_ns) / 1e9, 1e-9)
    share = float(held_s[named].sum() / span_s)
    counts = Counter(text for text in labels.texts if text)
    outside = int(np.count_nonzero(named & ((labels.starts_ns < first_ns) | (labels.starts_ns > last_ns))))
    text = f"{share:.1%} of the time labelled; {counted(counts) or 'all labels are empty'}"
    text += f"; {outside} of {counts.total()} start before the first frame or after the last" if outside else ""
    return Finding(
        "labels",
        worse(
            graded(1 - share, note=0.9),
            graded(outside / max(counts.total(), 1), note=0.1, warning=0.5),
            "ok" if counts else "error",
        ),
        text,
        "note: below 10 %, or 10 % of the labels outside the video; warning: half of them are, another clock? error: "
        "none has a text",
        {"labelled_share": share, "counts": dict(counts), "outside": outside},
    )


def window_use(
    session: Session, frames: Frames, covered: NDArray[np.bool_] | None, settings: WindowSettings
) -> Finding:
    """Count the windows that a fit would cut, by action, and the labels that no window has. Raises NoLabels.

    covered: (N,) which frames have usable gaze; None = the session has no gaze.
    """
    limit = (
        "note: 10 % of the labels set in no window, or 10 % of the windows without gaze; warning: an action that no "
        "window has, or 30 % without gaze; error: no window"
    )
    labels = require_labels(session)
    span_s = int(frames.stamps_ns[-1] - frames.stamps_ns[0]) / 1e9
    if span_s > LONGEST_SESSION_S:
        text = f"not counted: stamps span {span_s / 86400:.0f} days, so some are wrong"
        return Finding("windows", "error", text, limit, {"span_s": span_s})
    cut, counts = cut_windows(0, session, settings)
    dropped = Counter(counts.dropped)
    windows = []
    for window in cut:  # as training.data.dataset does when it decodes them
        if any(frames.sizes[index] is None for index in window.frames):
            dropped["with a damaged frame"] += 1
        elif any(frames.sizes[index] != frames.size for index in window.frames):
            dropped["with a frame of another size"] += 1
        else:
            windows.append(window)
    answers = Counter(window.answer or "nothing begins" for window in windows)
    unused = sorted({text for text in labels.texts if text} - answers.keys())
    answered = {window.answer_start_ns for window in windows}
    starts = zip(labels.starts_ns.tolist(), labels.texts, strict=True)
    passed_over = sum(bool(text) and start_ns not in answered for start_ns, text in starts)
    text = f"{len(windows)} windows" + (f": {counted(answers)}" if windows else "")
    if dropped:
        text += "; dropped: " + ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()))
    if passed_over:
        text += f"; {passed_over} of the labels that were set are in no window"
    if unused:
        text += f", among them every {', every '.join(map(printable, unused[:LABELS_SHOWN]))}"
        text += f" and {len(unused) - LABELS_SHOWN} more" if len(unused) > LABELS_SHOWN else ""
    without = None
    if covered is not None:
        without = sum(not covered[list(window.frames)].any() for window in windows)
        text += f"; {without} without usable gaze"
    severity = worse(
        graded(len(unused), warning=0),
        "error" if not windows else "ok",
        graded(passed_over / max(sum(map(bool, labels.texts)), 1), note=0.1),
        graded((without or 0) / max(len(windows), 1), note=0.1, warning=0.3),
    )
    figures = {
        "windows": len(windows),
        "per_label": dict(answers),
        "dropped": dict(dropped),
        "actions_without_window": unused,
        "labels_without_window": passed_over,
        "without_gaze": without,
    }
    return Finding("windows", severity, text, limit, figures)

"""One line below a picture: how the wearer's gaze fits the task, from a gaze_vlm_msgs/GazeAssessment."""

from __future__ import annotations

from typing import Any

import numpy as np

from gaze_vlm_ros.assessment.monitoring import AssessmentStatus
from gaze_vlm_ros.bags.stamps import nanoseconds
from gaze_vlm_ros.video.images import RGB
from gaze_vlm_ros.view.drawn_text import blank, cut, text_width, write, write_chip
from gaze_vlm_ros.view.overlay import (
    BEST,
    CHIPS,
    GROUND,
    MAX_CLOCK_DIFFERENCE_S,
    NOT_CURRENT,
    QUIET,
    TEXT,
    PredictionState,
    shown_text,
)

SHOWN = {"surprise_percentile": "surprise", "needs_help": "needs help", "odd": "odd"}
STATUS_WORDS = {int(status): status.name.replace("_", " ") for status in AssessmentStatus}


def assessment_state(assessment: Any, now_ns: int, silent_s: float) -> PredictionState:
    """State of a gaze_vlm_msgs/GazeAssessment at `now_ns`, in words; its numbers only while it may be used.

    now_ns: by the clock that assessments are stamped with. silent_s: time since the message arrived.
    """
    word = STATUS_WORDS.get(int(assessment.status), f"STATUS {assessment.status}")
    if assessment.status != AssessmentStatus.OK:
        # The monitor repeats this several times a second while it holds.
        since = f" ({silent_s:.0f} s ago)" if silent_s > 1 else ""
        return PredictionState(word, shown_text(assessment.status_text) + since, False)
    late_s = (now_ns - nanoseconds(assessment.valid_until)) / 1e9
    if late_s > 0:
        return PredictionState("EXPIRED", f"the last assessment was valid until {late_s:.0f} s ago", False)
    early_s = (nanoseconds(assessment.header.stamp) - now_ns) / 1e9
    if early_s > MAX_CLOCK_DIFFERENCE_S:
        text = f"stamped {early_s:.0f} s after now; a bag needs --clock and use_sim_time"
        return PredictionState("OTHER CLOCK", text, False)
    # Not in per cent, which reads as a probability.
    ranks = ", ".join(f"{name} {_rank(getattr(assessment, field))}" for field, name in SHOWN.items())
    return PredictionState(word, f"percentile: {ranks}", True)


def _rank(share: float) -> str:
    return f"{100 * share:.0f}" if 0.0 <= share <= 1.0 else "?"  # NaN: unknown


def with_assessment(picture: RGB, state: PredictionState) -> RGB:
    """Return the picture, (H, W, 3), with one line below it that says the state."""
    width = picture.shape[1]
    unit = width / 640
    line, edge, gap = round(22 * unit), round(10 * unit), round(6 * unit)
    strip = blank(line + gap, width, GROUND)
    write(strip, "gaze", (edge, 0), line, QUIET, unit)
    left = edge + text_width("gaze", unit) + gap
    colour = BEST["OK"] if state.current else CHIPS["ERROR"] if state.word == "ERROR" else NOT_CURRENT
    left = write_chip(strip, state.word, colour, left, 0, line, unit) + edge
    ink = TEXT if state.current else QUIET
    write(strip, cut(state.text, width - edge - left, unit), (left, 0), line, ink, unit)
    return np.vstack([picture, strip])

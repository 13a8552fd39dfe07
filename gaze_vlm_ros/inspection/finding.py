"""A finding of `gaze-vlm bag check`, and what recordings are measured against."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gaze_vlm_ros.inspection.training_use import TrainingMissing, fit_settings
from gaze_vlm_ros.terminal.text import printable

if TYPE_CHECKING:
    from training.settings import Settings

Severity = Literal["ok", "note", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("ok", "note", "warning", "error")

# Where training/ is not at hand, its defaults (training/settings.py).
OBSERVATION_S, FRAMES, GAZE_WINDOW_S, MIN_CONFIDENCE = 3.0, 4, 0.2, 0.6
LABELS_SHOWN = 12  # most frequent first; a vocabulary has tens


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    check: str
    severity: Severity
    text: str
    limit: str  # what makes it worse than ok, and why there
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Demands:
    """What the windows of a fit ask of a recording."""

    observation_s: float
    frames: int
    gaze_window_s: float
    min_confidence: float
    settings: Settings | None  # None = training/ is not here, `missing` says where it was looked for
    missing: str = ""

    @property
    def part_s(self) -> float:
        """Each such part of an observation must hold a frame (observation_window.pick_frames)."""
        return self.observation_s / self.frames


def load_demands(config: Path | None) -> Demands:
    """Of a fit's YAML file, of its defaults without one. Raises BadSettings, TrainingMissing (with a file)."""
    try:
        settings = fit_settings(config)
    except TrainingMissing as error:
        if config is not None:
            raise
        return Demands(OBSERVATION_S, FRAMES, GAZE_WINDOW_S, MIN_CONFIDENCE, None, str(error))
    return Demands(
        settings.observation_s, settings.frames, settings.gaze_window_s, settings.gaze_min_confidence, settings
    )


def graded(value: float, note: float = np.inf, warning: float = np.inf, error: float = np.inf) -> Severity:
    """The worst severity whose limit `value` is above."""
    if value > error:
        return "error"
    return "warning" if value > warning else "note" if value > note else "ok"


def worse(*severities: Severity) -> Severity:
    """The worst of them."""
    return max(severities, key=SEVERITIES.index)


def counted(counts: Counter[str]) -> str:
    """Labels with their numbers, the most frequent ones."""
    shown = ", ".join(f"{printable(text)} ({count})" for text, count in counts.most_common(LABELS_SHOWN))
    return shown + (f" and {len(counts) - LABELS_SHOWN} more" if len(counts) > LABELS_SHOWN else "")

"""A finding of `gaze-vlm bag check` and its severity."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from gaze_vlm_ros.terminal.text import printable

Severity = Literal["ok", "note", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("ok", "note", "warning", "error")

LABELS_SHOWN = 12  # most frequent first; a vocabulary has tens


@dataclass(frozen=True)
class Finding:
    """Result of one check."""

    check: str
    severity: Severity
    text: str
    limit: str  # thresholds for each severity, with their reasons
    figures: dict[str, Any] = field(default_factory=dict)


def graded(value: float, note: float = np.inf, warning: float = np.inf, error: float = np.inf) -> Severity:
    """Return the worst severity whose limit `value` exceeds."""
    if value > error:
        return "error"
    return "warning" if value > warning else "note" if value > note else "ok"


def worse(*severities: Severity) -> Severity:
    """Return the worst of these severities."""
    return max(severities, key=SEVERITIES.index)


def counted(counts: Counter[str]) -> str:
    """Return the most frequent labels with their counts, for people."""
    shown = ", ".join(f"{printable(text)} ({count})" for text, count in counts.most_common(LABELS_SHOWN))
    return shown + (f" and {len(counts) - LABELS_SHOWN} more" if len(counts) > LABELS_SHOWN else "")

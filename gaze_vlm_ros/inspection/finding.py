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
    """One thing that was looked at."""

    check: str
    severity: Severity
    text: str
    limit: str  # what makes it worse than ok, and why there
    figures: dict[str, Any] = field(default_factory=dict)


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

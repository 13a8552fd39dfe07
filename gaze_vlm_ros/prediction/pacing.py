"""When to ask the model: about a frame that has just come, at a rate as steady as the camera allows."""

from __future__ import annotations


def next_due(now_s: float, due_s: float, period_s: float) -> float | None:
    """When the question after this one is due, if one is to be asked now; None = not yet.

    Due times follow each other at the period, and the first frame later than half a period before one is taken: a
    camera of just that rate has each frame answered, jitter or not, and a faster one as many as the rate says. What a
    busy model or a pause has missed is not made up for.
    now_s, due_s: of one clock that never jumps back; due_s is -inf before the first question.
    """
    if now_s < due_s - period_s / 2:
        return None
    kept_up = now_s <= due_s + period_s / 2
    return (due_s if kept_up else now_s) + period_s

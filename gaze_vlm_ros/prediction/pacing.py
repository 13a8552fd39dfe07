"""When to query the model: as a frame arrives, at a rate as steady as the camera allows."""

from __future__ import annotations


def next_due(now_s: float, due_s: float, period_s: float) -> float | None:
    """Return when the next query is due, if there is to be one now; None = not yet.

    Due times are one period apart, and a query takes the first frame after half a period before its due time: with a
    camera of exactly that rate each frame is answered despite jitter, and a faster one gives queries at the rate.
    Queries that a busy model or a pause has missed are not made up for.
    now_s, due_s: by one clock that never jumps back; due_s is -inf before the first query.
    """
    if now_s < due_s - period_s / 2:
        return None
    kept_up = now_s <= due_s + period_s / 2
    return (due_s if kept_up else now_s) + period_s

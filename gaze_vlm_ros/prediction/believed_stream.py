"""Beliefs about what begins next and when, at all moments of some sessions, beside what was true."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class BelievedStream:
    """What was believed at M moments of S sessions, and what was true. Times in seconds.

    Moments are in the order of their sessions, and in the order of time within each.
    """

    session: Ints  # (M,) session of each moment, 0 to S - 1
    stamps_s: Floats  # (M,) stamp of the last frame, from any origin of the session's own
    table: Floats  # (M, A, K) P(action, part of the horizon)
    nothing: Floats  # (M,) P(nothing begins within the horizon)
    action: Ints  # (M,) the action that begins next; NOTHING = none within the horizon, or not known
    to_start_s: Floats  # (M,) time until it does; NaN = none
    known_s: Floats  # (M,) time for which it is known that nothing begins; inf = all of the horizon
    horizon_s: float
    begun_session: Ints  # (B,) session of each action that began, of any session and in the order of time within it
    begun_s: Floats  # (B,) when it began, from the session's own origin
    begun_action: Ints  # (B,)
    persons: tuple[str, ...]  # (S,) who was recorded; any name
    expected_s: Floats | None = None  # (M, A) expected time to start of each action; None = from the parts' middles

    @property
    def known(self) -> NDArray[np.bool_]:
        """(M,) whether the answer is known."""
        return ~np.isfinite(self.known_s)

    @property
    def begins(self) -> Floats:
        """(M, A) probability that each action is the next, within the horizon."""
        return np.asarray(self.table.sum(axis=2))

    @property
    def new_session(self) -> NDArray[np.bool_]:
        """(M,) whether a moment is the first of its session."""
        return np.append(True, self.session[1:] != self.session[:-1])[: len(self.session)]


def with_table(stream: BelievedStream, table: Floats, nothing: Floats, expected_s: Floats | None) -> BelievedStream:
    """Return the same moments with other beliefs."""
    return replace(stream, table=table, nothing=nothing, expected_s=expected_s)


def of_sessions(stream: BelievedStream, sessions: Ints) -> BelievedStream:
    """Return the moments of some sessions, which keep their numbers."""
    rows = np.isin(stream.session, sessions)
    chosen: dict[str, Any] = {}
    for field in fields(stream):
        value = getattr(stream, field.name)
        if isinstance(value, np.ndarray) and not field.name.startswith("begun"):
            chosen[field.name] = value[rows]
    return replace(stream, **chosen)

"""The barrier between what peers send and a node: an input that a callback cannot take is counted and reported.

`running.run_node` puts it around the callbacks of all subscriptions, services and clients. A node uses it where foreign
input reaches another callback, such as a timer that draws a peer's picture.
"""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]
REPORT_PERIOD_S = 5.0  # between two reports about one input
SHOWN = 200  # characters of an error in a report


class Barrier:
    """Counts inputs that were refused, by the name of their topic or service. May be used from several threads.

    show: prints a line for people. now_s: a steady clock, s.
    """

    def __init__(self, show: Callable[[str], object], now_s: Callable[[], float] = time.monotonic) -> None:
        self._show, self._now_s = show, now_s
        self.refused: Counter[str] = Counter()
        self._shown_s: dict[str, float] = {}

    def refuse(self, what: str, error: Exception) -> None:
        """Count an input of `what`, and report it unless another one was reported less than REPORT_PERIOD_S ago."""
        self.refused[what] += 1
        now_s = self._now_s()
        if now_s - self._shown_s.get(what, -REPORT_PERIOD_S) >= REPORT_PERIOD_S:
            self._shown_s[what] = now_s
            self._show(f"refused an input of {what} ({describe(error)}); {self.refused[what]} so far")

    @contextmanager
    def around(self, what: str) -> Iterator[None]:
        """Refuse the input of `what` if the block raises. Exceptions that end a node are not of type Exception."""
        try:
            yield
        except Exception as error:
            self.refuse(what, error)

    def answering(self, what: str, callback: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """Return a service callback that answers `success=False` with the reason where `callback` raises.

        Without an answer the caller would wait forever.
        """

        def answer(request: Any, response: Any) -> Any:
            try:
                return callback(request, response)
            except Exception as error:
                self.refuse(what, error)
                response.success, response.message = False, f"the request was refused ({describe(error)})"
                return response

        return answer

    def summary(self) -> str:
        """Return the counts in words; empty where nothing was refused."""
        counts = ", ".join(f"{count} of {what}" for what, count in sorted(self.refused.items()))
        return f"inputs refused: {counts}" if counts else ""


def describe(error: Exception) -> str:
    """Return one short line about an error, and where in this package it was raised."""
    text = " ".join(f"{type(error).__name__}: {error}".split())[:SHOWN]
    frames = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    places = [f"{file.relative_to(PACKAGE)}:{line}" for file, line in frames if file.is_relative_to(PACKAGE)]
    return f"{text}; at {places[-1]}" if places else text

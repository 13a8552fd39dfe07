"""An event loop whose clock stands still while there is something to do.

Timeouts of a program under test then depend on what happens and not on how busy this machine is: seconds pass only
while every socket is idle, and then at once. Real sockets, real bytes; only the waiting is left out.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

# The kernel may hand a packet over a moment after it was sent. Shorter leaps than this need not wait for that: what
# comes late then is late by no more.
FREE_LEAP_S = 0.02
SETTLING_S = 0.001  # of real time, before each further leap of FREE_LEAP_S


class _Selector(selectors.DefaultSelector):
    """Leaps over the time until the next timer where no socket has anything."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = time.monotonic()
        self.threads = 0  # at work for the loop
        self._idle_s = 0.0  # leapt since a socket had something

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events and timeout is not None and timeout > 0:
            leap_s = min(timeout, FREE_LEAP_S)
            if self._idle_s + leap_s > FREE_LEAP_S or self.threads:
                events = super().select(SETTLING_S)
            if not events and not self.threads:
                self._idle_s += leap_s
                self.now_s += leap_s
        elif not events and timeout is None:
            events = super().select(None)
        if events:
            self._idle_s = 0.0
        return events


class PatientLoop(asyncio.SelectorEventLoop):
    """Runs what was written for asyncio's own; `unix_ns` and `steady_ns` are the clocks of its host."""

    def __init__(self) -> None:
        self._patient = _Selector()
        self._unix_ahead_ns = time.time_ns() - time.monotonic_ns()
        super().__init__(self._patient)

    def time(self) -> float:
        """Seconds of this loop's clock, which began as the real monotonic one."""
        return self._patient.now_s

    def steady_ns(self) -> int:
        """The same in ns: a clock that nobody sets."""
        return round(self._patient.now_s * 1e9)

    def unix_ns(self) -> int:
        """Unix time by this loop's clock."""
        return self.steady_ns() + self._unix_ahead_ns

    def run_in_executor(
        self, executor: concurrent.futures.Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:  # type: ignore[override]
        self._patient.threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: asyncio.Future[Any]) -> None:
        self._patient.threads -= 1


def patient_loop() -> PatientLoop:
    """The running loop, which has to be one."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, PatientLoop)
    return loop


def host_clocks() -> dict[str, Callable[[], int]]:
    """Options of a NeonClient on the running PatientLoop."""
    return {"now_ns": patient_loop().unix_ns, "steady_ns": patient_loop().steady_ns}


def run_patiently(work: Coroutine[Any, Any, T]) -> T:
    """As asyncio.run, on a PatientLoop."""
    loop = PatientLoop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(work)
    finally:
        remaining = asyncio.all_tasks(loop)
        for task in remaining:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*remaining, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()

"""An asyncio loop in a thread of its own, for programs whose main thread belongs to something else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
GOODBYE_S = 1.0  # for cancelled tasks to close their connections


class LoopThread:
    """Runs from its construction until `stop`."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        # A daemon: a task that does not end must not keep the process.
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def time(self) -> float:
        """Seconds of the loop's clock."""
        return self._loop.time()

    def run(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine on the loop. Call it from any thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call_at(self, when_s: float, callback: Callable[..., object], *arguments: object) -> None:
        """Schedule a call at a time of the loop's clock. Call it from the loop's thread only."""
        self._loop.call_at(when_s, callback, *arguments)

    def stop(self) -> None:
        """Cancel every task, give them a moment to say goodbye, and end the thread."""
        self.run(_end_tasks())
        self._thread.join(GOODBYE_S + 1.0)
        if self._thread.is_alive():  # a task did not end: leave it behind
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(1.0)


async def _end_tasks() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=GOODBYE_S)
    asyncio.get_running_loop().stop()

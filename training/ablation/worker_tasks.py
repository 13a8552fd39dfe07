"""Run tasks in worker processes, and survive workers that are killed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from training.data.workers import worker_pool


def as_finished(
    work: Any,
    tasks: Mapping[str, Any],
    jobs: int,
    stop: float,
    waiting: Callable[[Sequence[str]], None] = lambda names: None,
) -> Iterator[tuple[str, str]]:
    """Yield (name, error or "") of each task as it ends.

    work: called in a worker with a task's name and value; returns (name, error or ""). jobs: tasks at a time.
    stop: no task starts after this time, of time.monotonic. A killed worker costs only the tasks that run meanwhile.
    waiting: called every second with the names of the tasks that run.
    """
    queue = iter(tasks.items())
    pool = worker_pool(jobs)
    pending: dict[Future[tuple[str, str]], str] = {}
    try:
        while True:
            while len(pending) < jobs and time.monotonic() < stop and (task := next(queue, None)) is not None:
                pending[pool.submit(work, *task)] = task[0]
            if not pending:
                return
            waiting(list(pending.values()))
            for future in wait(pending, timeout=1.0, return_when=FIRST_COMPLETED).done:
                name = pending.pop(future)
                try:
                    yield future.result()
                except BrokenProcessPool:  # ends all tasks of the pool
                    yield (
                        name,
                        "its process, or one beside it, was killed, perhaps for lack of memory: use fewer --jobs",
                    )
                    pool.shutdown(wait=False)
                    yield from ((other, "a process beside it was killed") for other in pending.values())
                    pending.clear()
                    pool = worker_pool(jobs)
                    break
    finally:
        pool.shutdown(cancel_futures=True)

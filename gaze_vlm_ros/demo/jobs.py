"""Run several jobs of the demo side by side, each with one or more child processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from gaze_vlm_ros.nodes.child_processes import Child, StepFailed
from gaze_vlm_ros.terminal.status_line import StatusLine

AT_ONCE = 2  # jobs side by side, one per core of a small machine


def run_side_by_side(
    jobs: Sequence[tuple[str, Callable[[], list[Child]]]],
    timeout_s: float,
    status: StatusLine,
    describe: Callable[[Child], str],
    attempts: int = 1,
) -> list[str]:
    """Run jobs, AT_ONCE at a time. Return the names of those that were started again, once per repetition.

    jobs: a name and a function that starts the processes, each. describe: progress of a process, for the status line.
    A process that fails ends its job, which is started again until it was tried `attempts` times; the failure of the
    last attempt ends all jobs. Raises StepFailed, also where a job takes longer than `timeout_s`.
    """
    waiting = list(jobs)
    running: list[tuple[str, Callable[[], list[Child]], list[Child], float]] = []
    again: list[str] = []
    done = 0
    try:
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                name, start = waiting.pop(0)
                running.append((name, start, start(), time.monotonic() + timeout_s))
            for job in list(running):
                name, start, children, deadline = job
                try:
                    for child in children:
                        if not child.running():
                            child.must_succeed(0)
                except StepFailed as error:
                    if again.count(name) + 1 >= attempts:
                        raise
                    print(f"    {name} is started again: {error}", flush=True)
                    for child in children:
                        child.kill()
                    running.remove(job)
                    again.append(name)
                    waiting.insert(0, (name, start))
                    continue
                if all(not child.running() for child in children):
                    running.remove(job)
                    done += 1
                elif time.monotonic() > deadline:
                    raise StepFailed(f"{name} did not end within {timeout_s:.0f} s; see {children[0].log}")
            doing = "  |  ".join(f"{name}: {describe(children[0])}" for name, _, children, _ in running)
            doing = doing.replace("(no output)", "starting")
            status.show(f"{done} of {len(jobs)} done; {doing}")
            time.sleep(0.3)
    finally:
        for _, _, children, _ in running:
            for child in children:
                child.kill()
    return again

"""The asyncio loop beside a program's own threads."""

import asyncio
import threading

import pytest

from gaze_vlm_ros.neon.loop_thread import LoopThread


@pytest.fixture
def loop() -> LoopThread:
    return LoopThread("test loop")


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_work_runs_in_the_loops_thread_and_its_errors_come_back(loop: LoopThread) -> None:
    async def name() -> str:
        return threading.current_thread().name

    async def fail() -> None:
        raise ValueError("no")

    try:
        assert loop.run(name()).result(10) == "test loop"
        with pytest.raises(ValueError, match="no"):
            loop.run(fail()).result(10)
    finally:
        loop.stop()
    assert "test loop" not in threads()


def test_calls_are_scheduled_on_the_loops_clock(loop: LoopThread) -> None:
    called = threading.Event()

    async def schedule() -> None:
        loop.call_at(loop.time() + 0.01, called.set)

    try:
        loop.run(schedule()).result(10)
        assert called.wait(10)
    finally:
        loop.stop()


def test_tasks_may_say_goodbye_before_the_loop_ends(loop: LoopThread) -> None:
    began, said_goodbye = threading.Event(), threading.Event()

    async def serve() -> None:
        try:
            began.set()
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            said_goodbye.set()

    loop.run(serve())
    assert began.wait(10)
    loop.stop()
    assert said_goodbye.is_set()
    assert "test loop" not in threads()

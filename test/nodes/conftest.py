"""Processes of node tests end with their test."""

import contextlib
from collections.abc import Iterator

import psutil
import pytest


@pytest.fixture(autouse=True)
def _no_process_left() -> Iterator[None]:
    """Kill the processes that a failed test left running: they take time and a DDS domain from all that follow."""
    this = psutil.Process()
    before = set(this.children(recursive=True))
    yield
    for process in set(this.children(recursive=True)) - before:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()

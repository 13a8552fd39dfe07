"""A peer of the nodes under test, and the end of their processes with their test."""

import contextlib
from collections.abc import Iterator

import psutil
import pytest
from peers import Peer
from ros_processes import shared_environment


@pytest.fixture(autouse=True)
def _no_process_left() -> Iterator[None]:
    """Kill the processes that a failed test left running: they take time and a DDS domain from all that follow."""
    this = psutil.Process()
    before = set(this.children(recursive=True))
    yield
    for process in set(this.children(recursive=True)) - before:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Peer, dict[str, str]]]:
    """A peer, and the environment of processes that it meets."""
    environment = shared_environment(monkeypatch)
    made = Peer(int(environment["ROS_DOMAIN_ID"]))
    yield made, environment
    made.close()

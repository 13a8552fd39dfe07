"""How `make test` deals the tests out to several processes (pytest-xdist, --dist loadfile)."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

import pytest

# Paths below test/, a folder or a file. What takes long begins first, so that no process is left with it at the end.
# Tests that mostly wait, for nodes and sockets, and tests that compute take turns: together they fill the cores.
# The two demos are apart: each starts five processes at a time.
WAITING = ("demo/test_device_replay", "nodes/test_predictor", "demo/", "nodes/", "replay/", "examples/", "launch/")
COMPUTING = ("training/", "vlm/", "neon/", "prediction/", "bags/", "view/", "video/", "inspection/")


def order_files(items: list[pytest.Item], root: Path) -> None:
    """Order the tests of a run; pytest-xdist deals them out in this order, a file to a process."""
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path.relative_to(root).as_posix(), []).append(item)
    waiting, computing = (_matching(list(files), beginnings) for beginnings in (WAITING, COMPUTING))
    order = [name for pair in zip_longest(waiting, computing) for name in pair if name is not None]
    order += [name for name in files if name not in {*waiting, *computing}]
    items[:] = [item for name in order for item in files[name]]


def _matching(names: list[str], beginnings: tuple[str, ...]) -> list[str]:
    """Names that begin as one of `beginnings` does, in their order."""
    found = [name for beginning in beginnings for name in names if name.startswith(beginning)]
    return list(dict.fromkeys(found))

"""How `make test` deals the tests out to several processes (pytest-xdist, --dist loadgroup)."""

from __future__ import annotations

from pathlib import Path

import pytest

# Longest first, so that no process is left with a long test at the end. Paths below test/, a folder or a file; whatever
# is not listed follows in the order of collection.
FIRST = ("demo/", "nodes/", "training/", "neon/", "vlm/", "prediction/", "replay/", "examples/")


def deal_out(items: list[pytest.Item], root: Path) -> None:
    """Order the tests, and keep the tests of a file in one process: they share what their file builds."""

    def rank(item: pytest.Item) -> int:
        path = item.path.relative_to(root).as_posix()
        return next((i for i, beginning in enumerate(FIRST) if path.startswith(beginning)), len(FIRST))

    items.sort(key=rank)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(item.path.relative_to(root).as_posix()))

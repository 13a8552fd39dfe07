"""Groups of windows, for objectives that must not leave one behind."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.windows.cutting import Window
from training.data.recordings import Recording

_OF_SESSION = {"session": "name", "person": "person", "task": "task", "scene": "scene"}
_COLUMNS = ("session", "from_ns", "group")


class BadGroups(GazeVlmError):
    """The windows cannot be divided into groups as the setting says."""


def window_groups(
    groups: str, windows: Sequence[Window], sessions: Sequence[Recording]
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the names of the groups, sorted, and (N,) the group of each window.

    groups: session, person, task or scene; answer; or a CSV file with columns session, from_ns and group: windows that
    end at from_ns or later are of that group, until the next row of the session. Raises BadGroups.
    """
    if groups == "answer":
        names = [window.answer for window in windows]
    elif groups in _OF_SESSION:
        names = [str(getattr(sessions[window.session], _OF_SESSION[groups])) for window in windows]
    else:
        changes = _read_changes(Path(groups))
        names = [_of_window(window, sessions[window.session], changes, groups) for window in windows]
    found = tuple(sorted(set(names)))
    return found, np.array([found.index(name) for name in names], np.int64)


def _of_window(window: Window, session: Recording, changes: dict[str, list[tuple[int, str]]], path: str) -> str:
    before = [group for from_ns, group in changes.get(session.name, []) if from_ns <= window.at_ns]
    if not before:
        raise BadGroups(
            f"{path} has no group for session {session.name!r} at {window.at_ns} ns; give each session a row whose "
            "from_ns is at or before its first window"
        )
    return before[-1]


def _read_changes(path: Path) -> dict[str, list[tuple[int, str]]]:
    """Return (from_ns, group) of each session, ascending."""
    if not path.is_file():
        raise BadGroups(
            f"setting groups is {str(path)!r}, expected session, person, task, scene, answer, or a CSV file with "
            f"columns {', '.join(_COLUMNS)}"
        )
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if missing := [name for name in _COLUMNS if name not in (rows.fieldnames or ())]:
            raise BadGroups(f"{path} lacks the columns {', '.join(missing)}, expected {', '.join(_COLUMNS)}")
        changes: dict[str, list[tuple[int, str]]] = {}
        for line, row in enumerate(rows, 2):
            try:
                changes.setdefault(row["session"], []).append((int(row["from_ns"]), row["group"]))
            except (TypeError, ValueError):
                raise BadGroups(f"{path}, line {line}: from_ns is {row['from_ns']!r}, expected whole ns") from None
    return {session: sorted(of_session) for session, of_session in changes.items()}

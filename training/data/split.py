"""Split sessions into parts, never windows."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.session.session import Session
from training.data.recordings import Recording
from training.settings import Settings


class BadSplit(GazeVlmError):
    """Sessions cannot be divided as the settings say."""


@dataclass(frozen=True)
class Split:
    """Indices of the sessions in each part. No session and no group of `split_by` is in two parts."""

    training: tuple[int, ...]
    validation: tuple[int, ...]
    calibration: tuple[int, ...]  # empty: those of validation serve for it
    test: tuple[int, ...]


def split_sessions(sessions: Sequence[Session | Recording], settings: Settings) -> Split:
    """Divide whole groups of sessions (settings.split_by) into training, validation, calibration and test.

    A list of glob patterns selects the groups that match; a share selects that share of all groups, at least one,
    drawn by settings.seed. Raises BadSplit if a pattern matches nothing, a group is selected twice, or nothing is left
    to train on.
    """
    names = {"session": "name", "person": "person", "task": "task", "scene": "scene"}
    group_of = [str(getattr(session, names[settings.split_by])) for session in sessions]
    groups = sorted(set(group_of))
    drawn = list(np.random.default_rng(settings.seed).permutation(groups))
    taken: dict[str, str] = {}
    for part, selection in (
        ("test", settings.test),
        ("validation", settings.validation),
        ("calibration", settings.calibration),
    ):
        if isinstance(selection, float):
            count = max(1, round(selection * len(groups))) if selection else 0
            chosen = [group for group in drawn if group not in taken][:count]
        else:
            chosen = [group for group in groups if any(fnmatch.fnmatchcase(group, pattern) for pattern in selection)]
            for pattern in selection:
                if not fnmatch.filter(groups, pattern):
                    known = ", ".join(groups)
                    raise BadSplit(f"{part} names {settings.split_by} {pattern!r}, and there are only: {known}")
        for group in chosen:
            if group in taken:
                raise BadSplit(f"{settings.split_by} {group!r} is in both {taken[group]} and {part}; name it once")
            taken[group] = part
    parts = {
        part: tuple(i for i, group in enumerate(group_of) if taken.get(group, "training") == part)
        for part in ("training", "validation", "calibration", "test")
    }
    if not parts["training"]:
        raise BadSplit(
            f"no {settings.split_by} is left to train on: {len(groups)} in all, {len(taken)} of them held out; "
            f"give more bags, or --set validation=0 with --set keep=last"
        )
    return Split(**parts)

"""How sessions are divided into training, validation and test."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from training.data.split import BadSplit, split_sessions
from training.settings import Settings


def session(**names: str) -> Any:
    return SimpleNamespace(**{"name": "s", "person": "p", "task": "t", "scene": "bench", **names})


def test_split_keeps_groups_whole() -> None:
    sessions = [session(name=f"s{i}", person=f"p{i // 2}", scene="misleading" if i > 5 else "bench") for i in range(8)]
    for seed in range(5):
        split = split_sessions(sessions, Settings(split_by="person", validation=0.25, test=0.25, seed=seed))
        assert sorted(split.training + split.validation + split.test) == list(range(8))
        people = [{sessions[i].person for i in part} for part in (split.training, split.validation, split.test)]
        assert [len(group) for group in people] == [2, 1, 1]
        assert not people[0] & people[1] | people[0] & people[2] | people[1] & people[2]
    by_scene = split_sessions(sessions, Settings(split_by="scene", validation=0.0, test=("mis*",)))
    assert by_scene.test == (6, 7)
    assert by_scene.validation == ()


def test_calibration_sessions_are_in_no_other_part() -> None:
    sessions = [session(name=f"s{i}") for i in range(8)]
    drawn = split_sessions(sessions, Settings(validation=0.25, calibration=0.25, test=0.125))
    assert [len(part) for part in (drawn.training, drawn.validation, drawn.calibration, drawn.test)] == [3, 2, 2, 1]
    assert sorted(drawn.training + drawn.validation + drawn.calibration + drawn.test) == list(range(8))
    assert split_sessions(sessions, Settings(calibration=("s3",))).calibration == (3,)
    with pytest.raises(BadSplit, match="session 's3' is in both validation and calibration"):
        split_sessions(sessions, Settings(validation=("s3",), calibration=("s3",)))


def test_two_recordings_with_one_name_are_one_group() -> None:
    split = split_sessions([session(name="a"), session(name="a"), session(name="b")], Settings(validation=("a",)))
    assert split.validation == (0, 1)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"validation": ("s9",)}, "validation names session 's9', and there are only: s0, s1"),
        ({"validation": ("s0",), "test": ("s*",)}, "session 's0' is in both test and validation"),
        ({"validation": 0.5, "test": 0.5}, "no session is left to train on: 2 in all, 2 of them"),
    ],
)
def test_impossible_splits_are_one_line(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(BadSplit, match=line):
        split_sessions([session(name="s0"), session(name="s1")], Settings(**changes))

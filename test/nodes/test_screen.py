"""What a node prints comes out in order, and a table is redrawn in place."""

import contextlib
import os
import sys
from collections.abc import Iterator

import pytest

from gaze_vlm_ros.nodes.screen import Screen


@contextlib.contextmanager
def screen_on(pipe: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    """A screen whose stdout is a pipe; what came out of it is in `pipe` at the end."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as ours, os.fdopen(writing, "w") as theirs, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", theirs)
        screen = Screen()
        yield screen
        screen.close(patience_s=60.0)
        theirs.close()
        pipe.append(ours.read())


def redraw(screen: Screen, table: str) -> None:
    """Redraw, as often as it takes until nothing is queued any more."""
    while not screen.redraw(table):
        pass


def test_a_table_is_drawn_over_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe: list[str] = []
    with screen_on(pipe, monkeypatch) as screen:
        redraw(screen, "a\nb")
        redraw(screen, "c\nd\ne")
        redraw(screen, "f")
    assert pipe[0] == "a\nb\n\033[2A\033[Jc\nd\ne\n\033[3A\033[Jf\n"


def test_a_line_between_two_tables_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe: list[str] = []
    with screen_on(pipe, monkeypatch) as screen:
        redraw(screen, "a\nb")
        screen.show("episode began")
        redraw(screen, "c\nd")
        redraw(screen, "e")
    assert pipe[0] == "a\nb\nepisode began\nc\nd\n\033[2A\033[Je\n"


def test_what_a_peer_says_cannot_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe: list[str] = []
    with screen_on(pipe, monkeypatch) as screen:
        screen.show("label: \x1b[2Jpour\r")
        redraw(screen, "/a\x07\n/b")
    assert pipe[0] == "label: \\x1b[2Jpour\\x0d\n/a\\x07\n/b\n"

"""What keys mean, and that the terminal gets back its settings."""

import os
import pty
import sys
import termios
import time

import pytest

from gaze_vlm_ros.recorder.keyboard import Action, KeyBindings, Keyboard


def test_keys_with_episodes() -> None:
    keys = KeyBindings(("pour", "stir"), in_episodes=True)
    assert keys.help == (
        "keys: s start, k keep, d discard an episode; 1 'pour', 2 'stir', 0 no label from here on, q quit"
    )
    assert [keys.command(key).action for key in "skdq"] == [Action.START, Action.KEEP, Action.DISCARD, Action.QUIT]
    assert keys.command("1") == (Action.LABEL, "pour")
    assert keys.command("2") == (Action.LABEL, "stir")
    assert keys.command("0") == (Action.LABEL, "")
    for key in ("3", "9", "x", "\x1b", "\ufffd"):
        assert keys.command(key).action is Action.HELP


def test_keys_without_episodes() -> None:
    keys = KeyBindings((), in_episodes=False)
    assert keys.help == "keys: 0 no label from here on, q quit"
    assert [keys.command(key).action for key in "skd1"] == [Action.HELP] * 4
    assert keys.command("0") == (Action.LABEL, "")
    assert keys.command("q").action is Action.QUIT


def test_single_keys_come_without_enter_and_the_terminal_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        before = termios.tcgetattr(theirs)
        keyboard = Keyboard()
        assert keyboard.is_there
        assert termios.tcgetattr(theirs) != before
        os.write(ours, b"sk")
        pressed: list[str] = []
        deadline_s = time.monotonic() + 200
        while len(pressed) < 2:
            pressed += keyboard.pressed()
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        keyboard.close()
        assert pressed == ["s", "k"]
        assert termios.tcgetattr(theirs) == before
    os.close(ours)


def test_without_a_terminal_there_are_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        keyboard = Keyboard()
        assert not keyboard.is_there
        assert keyboard.pressed() == []
        keyboard.close()

"""Single keys from the terminal, without Enter, and what they mean to the recorder."""

from __future__ import annotations

import os
import queue
import select
import sys
import termios
import threading
import tty
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

MOST_LABELS = 9  # one for each of the keys 1 to 9; 0 ends a label


class Action(Enum):
    """What a key makes the recorder do."""

    START = "s"
    KEEP = "k"
    DISCARD = "d"
    LABEL = "1 to 9, and 0 for the empty label"
    QUIT = "q"
    HELP = "any other key"


class KeyCommand(NamedTuple):
    """The action of a key, and the label's text for Action.LABEL."""

    action: Action
    label: str = ""


@dataclass(frozen=True)
class KeyBindings:
    """What each key means, given the texts of the label keys 1 to 9 and whether there are episodes."""

    labels: tuple[str, ...]
    in_episodes: bool

    @property
    def help(self) -> str:
        """Name all keys in one line."""
        episodes = "s start, k keep, d discard an episode; " if self.in_episodes else ""
        labels = "".join(f"{number} {text!r}, " for number, text in enumerate(self.labels, 1))
        return f"keys: {episodes}{labels}0 no label from here on, q quit"

    def command(self, key: str) -> KeyCommand:
        """Return what `key`, one character, means."""
        if key == "q":
            return KeyCommand(Action.QUIT)
        if self.in_episodes and key in ("s", "k", "d"):
            return KeyCommand(Action(key))
        if key in "0123456789" and int(key) <= len(self.labels):
            return KeyCommand(Action.LABEL, self.labels[int(key) - 1] if key != "0" else "")
        return KeyCommand(Action.HELP)


class Keyboard:
    """Reads keys in a thread of its own until closed, where stdin is a terminal. Ctrl-C still raises SIGINT."""

    def __init__(self) -> None:
        self._keys: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        if not sys.stdin.isatty():
            return
        self._descriptor = sys.stdin.fileno()
        self._before = termios.tcgetattr(self._descriptor)
        tty.setcbreak(self._descriptor)
        self._thread = threading.Thread(target=self._run, name="keys", daemon=True)
        self._thread.start()

    @property
    def is_there(self) -> bool:
        """Whether stdin is a terminal, so that keys can come."""
        return self._thread is not None

    def pressed(self) -> list[str]:
        """Return the keys pressed since the last call."""
        keys = []
        while not self._keys.empty():
            keys.append(self._keys.get())
        return keys

    def close(self) -> None:
        """Stop reading and restore the terminal's settings."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    def _run(self) -> None:
        while not self._closing.is_set():
            if select.select([self._descriptor], [], [], 0.1)[0]:
                data = os.read(self._descriptor, 1)
                if not data:
                    return  # the terminal is gone
                self._keys.put(data.decode(errors="replace"))

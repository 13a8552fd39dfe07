"""Single keys from the terminal, without Enter. Where stdin is no terminal there are none."""

from __future__ import annotations

import os
import queue
import select
import sys
import termios
import threading
import tty


class Keyboard:
    """Reads keys in a thread of its own until closed; Ctrl-C goes on raising SIGINT."""

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
        return self._thread is not None

    def pressed(self) -> list[str]:
        """Keys since the last call."""
        keys = []
        while not self._keys.empty():
            keys.append(self._keys.get())
        return keys

    def close(self) -> None:
        """Give the terminal back as it was."""
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

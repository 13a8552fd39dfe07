"""The base class of all errors that a user can act on, and how programs report them."""

import atexit
import gc
import io
import logging
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, TextIO

from gaze_vlm_ros.terminal.text import escaped_write

_LONGEST_TEXT = 4000  # characters of an error; a value of a damaged file may be as long as the file


class GazeVlmError(Exception):
    """An error that the user can act on: one line that names the value, what was expected and what to do.

    Each module derives its own. Programs print only the text; any other exception is a defect and keeps its traceback.
    """


def exit_code(program: str, main: Callable[[], int | None]) -> int:
    """Run `main` and return its exit code, 1 after a GazeVlmError, or 130 after Ctrl-C.

    A GazeVlmError is printed to stderr as `program: error: text`, in one line: values of files may hold anything.
    Whatever else is printed within `main` cannot steer a terminal either: names and texts come from peers, servers and
    files, so control characters are written as escapes.
    """
    # Python's last collections visit every object of torch and transformers: 1.2 s of computing to free what the system
    # frees at once, and more than launch's patience on a busy robot.
    atexit.register(gc.freeze)
    # Pupil Labs' library has libav's lines logged when it is imported. What matters of them is in our own errors.
    libav = logging.getLogger("libav")
    libav.addHandler(logging.NullHandler())
    libav.propagate = False
    for stream in (sys.stdout, sys.stderr):  # a terminal that is not UTF-8 shows what it cannot as an escape
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with redirect_stdout(_Escaping(sys.stdout)), redirect_stderr(_Escaping(sys.stderr)):
        try:
            return main() or 0
        except GazeVlmError as error:
            text = str(error) if len(str(error)) <= _LONGEST_TEXT else f"{str(error)[:_LONGEST_TEXT]}..."
            text = "".join(shown if shown.isprintable() else repr(shown)[1:-1] for shown in text)
            print(f"{program}: error: {text}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print(f"{program}: interrupted", file=sys.stderr)
            return 130


class _Escaping:
    """A text stream that escapes what it writes; all else is that of the stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(escaped_write(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

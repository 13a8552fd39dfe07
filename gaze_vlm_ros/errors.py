"""The base of every error that a user can act on, and how a program reports it."""

import sys
from collections.abc import Callable


class GazeVlmError(Exception):
    """A condition its user can act on: its text is one line that names the value, what was expected and what to do.

    Each module derives its own. Programs print the text alone; any other exception is a defect and keeps its traceback.
    """


def exit_code(program: str, main: Callable[[], int | None]) -> int:
    """Run `main` and return the process's exit code: its own, 1 after a GazeVlmError, 130 after Ctrl-C.

    A GazeVlmError is printed on stderr as `program: error: text`.
    """
    try:
        return main() or 0
    except GazeVlmError as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return 130

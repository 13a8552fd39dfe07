"""Run a command beside programs that keep every core busy: `python tools/beside_load.py COMMAND ...`.

Shows whether tests are green whatever else the machine does. One endless loop per core runs until the command ends;
the exit code is the command's.
"""

import multiprocessing
import os
import subprocess
import sys


def spin() -> None:
    """Keep one core busy until killed."""
    while True:
        pass


def main(command: list[str]) -> int:
    """Exit code of the command."""
    if not command:
        sys.exit("beside_load: no command; call it as: python tools/beside_load.py COMMAND ...")
    loops = [multiprocessing.Process(target=spin, daemon=True) for _ in os.sched_getaffinity(0)]
    for loop in loops:
        loop.start()
    try:
        return subprocess.run(command, check=False).returncode
    finally:
        for loop in loops:
            loop.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Rerun recordings in files, safe against a full disk.

Rerun's own file writer sometimes hangs forever once a disk is full. So Rerun writes to a pipe, and a thread of ours
copies the pipe to the file.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import rerun as rr
import rerun.blueprint as rrb


@contextmanager
def written_to(out: rr.RecordingStream, place: Path, blueprint: rrb.Blueprint) -> Iterator[Callable[[], None]]:
    """Write what the block logs to `out` to the new file `place`, with a blueprint; remove the file on an error.

    Yields a function that flushes what was logged; call it now and then. Both raise OSError if the file cannot be
    written.
    """
    problems: list[OSError] = []
    with place.open("xb") as file:

        def copy(source: int) -> None:
            while data := os.read(source, 1 << 20):
                if not problems:  # after an error, keep emptying the pipe so that Rerun does not block
                    try:
                        file.write(data)
                    except OSError as error:
                        problems.append(error)

        def flush() -> None:
            out.flush()
            if problems:
                raise problems[0]

        try:
            from_rerun, to_us = os.pipe()
            copying = threading.Thread(target=copy, args=(from_rerun,), name="rrd")
            copying.start()
            try:
                out.save(f"/dev/fd/{to_us}", default_blueprint=blueprint)
                yield flush
            finally:
                out.disconnect()  # writes the rest and closes Rerun's end
                os.close(to_us)
                copying.join()
                os.close(from_rerun)
            if problems:
                raise problems[0]
            file.flush()
        except BaseException:
            place.unlink(missing_ok=True)
            raise

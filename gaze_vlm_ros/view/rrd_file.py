"""A Rerun recording into a file, on any disk.

Rerun's own writer waits for ever, at random, once a disk is full. So it writes into a pipe, and the file is ours.
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
    """What is logged to `out` within goes to a new file, with a blueprint; an error leaves none behind.

    Yields a function to call now and then: it flushes what was logged. Raises OSError, as does that function, where
    the file cannot be made or written.
    """
    problems: list[OSError] = []
    with place.open("xb") as file:

        def copy(source: int) -> None:
            while data := os.read(source, 1 << 20):
                if not problems:  # after one, the pipe is emptied all the same, so that Rerun goes on
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
                out.disconnect()  # which writes the rest, and closes Rerun's end
                os.close(to_us)
                copying.join()
                os.close(from_rerun)
            if problems:
                raise problems[0]
            file.flush()
        except BaseException:
            place.unlink(missing_ok=True)
            raise

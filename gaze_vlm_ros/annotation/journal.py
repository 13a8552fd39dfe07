"""The journal of a description: answers appended one line at a time, so that a kill costs only calls under way."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gaze_vlm_ros.errors import GazeVlmError


class JournalInUse(GazeVlmError):
    """Another process is writing the journal."""


class BadJournal(GazeVlmError):
    """The file is not a journal of this run, or is damaged."""


class JournalNotWritable(GazeVlmError):
    """The journal cannot be written."""


class Journal:
    """JSON lines: the run itself, then one answer each. Use it as a context manager; one process at a time.

    path: an existing or new file. run: what the answers depend on; a journal of another run is refused.
    Raises JournalInUse, BadJournal, JournalNotWritable.
    """

    def __init__(self, path: Path, run: Mapping[str, Any]) -> None:
        self.path = path
        self.answers: dict[int, dict[str, Any]] = {}  # by number of the clip
        try:
            self._stream = path.open("a+b")
        except OSError as error:
            raise JournalNotWritable(f"cannot write {path}: {error.strerror}; make room, or copy the bag") from None
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read(json.loads(json.dumps(run)))
        except OSError:
            self._stream.close()
            raise JournalInUse(f"{path} is being written by another process; wait until it has ended") from None
        except BaseException:
            self._stream.close()
            raise

    def _read(self, run: Any) -> None:
        self._stream.seek(0)
        whole, _, torn = self._stream.read().rpartition(b"\n")
        if torn:  # a line that a kill cut off
            self._stream.truncate(len(whole) + 1 if whole else 0)
        lines = whole.split(b"\n") if whole else []
        try:
            entries = [json.loads(line) for line in lines]
            if entries and entries[0]["run"] != run:
                raise ValueError("it is of another run")
            self.answers = {int(entry["second"]): entry for entry in entries[1:]}
        except (ValueError, KeyError, TypeError) as error:
            raise BadJournal(f"{self.path} cannot be continued: {error}; move it away to start over") from None
        if not entries:
            self._append({"run": run})

    def add(self, number: int, entry: Mapping[str, Any]) -> None:
        """Append the answer about clip `number`; it is on the disk when this returns. Raises JournalNotWritable."""
        line = {"second": number, **entry}
        self._append(line)
        self.answers[number] = line

    def _append(self, entry: Mapping[str, Any]) -> None:
        try:
            self._stream.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise JournalNotWritable(f"cannot write {self.path}: {error.strerror}; make room, and run again") from None

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

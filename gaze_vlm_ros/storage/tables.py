"""Delimited text tables: read named columns as arrays, and report a missing or wrong one in one line."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError

# Samples of two threads or cameras interleave by milliseconds; a larger step back means that the clock was set.
MAX_STEP_BACK_S = 1.0
_HEADER_SHOWN = 300  # characters of a wrong header in a message: that of a binary file has no end


class FileMissing(GazeVlmError):
    """A file that the format needs is missing or may not be read."""


class WrongColumns(GazeVlmError):
    """The file is not a table, or lacks a column."""


class BadRow(GazeVlmError):
    """A row is cut short, or a value does not fit its column."""


class OutOfOrder(GazeVlmError):
    """The time in a file goes backwards."""


@dataclass
class Table:
    """Columns by name, one entry per row. An optional column is present only if the file has it."""

    path: Path
    ints: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    floats: dict[str, NDArray[np.float64]] = field(default_factory=dict)  # NaN where the field is empty
    texts: dict[str, list[str]] = field(default_factory=dict)


def require_file(path: Path, what: str) -> None:
    """Raise FileMissing unless `path` is a file that can be read. what: the expected file, for the message."""
    if path.is_file() and os.access(path, os.R_OK):
        return
    problem = "is a folder" if path.is_dir() else "may not be read" if path.exists() else "is missing"
    raise FileMissing(f"{path} {problem}: expected {what}")


def read_table(
    path: Path,
    what: str,
    *,
    ints: Sequence[str] = (),
    floats: Sequence[str] = (),
    texts: Sequence[str] = (),
    optional: Sequence[str] = (),
    delimiter: str = ",",
) -> Table:
    """Read the named columns, in any order, and ignore all others. A "#" before the header is skipped.

    what: the file, for error messages, such as "gaze.csv of a Pupil Cloud download".
    Raises FileMissing, WrongColumns, BadRow.
    """
    require_file(path, what)
    convert: dict[str, Callable[[str], int | float | str]]
    convert = dict.fromkeys(ints, _int) | dict.fromkeys(floats, _float) | dict.fromkeys(texts, str)
    rows: dict[str, list[int | float | str]] = {}
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        reader = csv.reader(stream, delimiter=delimiter, skipinitialspace=True)
        try:
            header = [name.replace("\xa0", " ").strip() for name in next(reader, [])]
            if header:
                header[0] = header[0].lstrip("# ")
            if missing := [name for name in convert if name not in header and name not in optional]:
                raise WrongColumns(
                    f"{path} is not {what}: it has no column {', '.join(map(repr, missing))}; its columns are "
                    f"{', '.join(header)[:_HEADER_SHOWN] or 'none'}"
                )
            columns = {name: header.index(name) for name in convert if name in header}
            rows = {name: [] for name in columns}
            for row in reader:
                if not row:
                    continue
                for name, column in columns.items():
                    rows[name].append(_field(row, column, name, convert[name], path, reader.line_num))
        except csv.Error as error:
            raise WrongColumns(f"{path} is not {what}: it is not a text table ({error})") from None
    return Table(
        path,
        {name: np.array(rows[name], np.int64) for name in ints if name in rows},
        {name: np.array(rows[name], np.float64) for name in floats if name in rows},
        {name: [str(entry) for entry in rows[name]] for name in texts if name in rows},
    )


def _int(text: str) -> int:
    value = int(text)
    if not -(2**63) <= value < 2**63:
        raise ValueError
    return value


def _float(text: str) -> float:
    return float(text) if text else np.nan


def _field(
    row: list[str], column: int, name: str, convert: Callable[[str], int | float | str], path: Path, line: int
) -> int | float | str:
    if column >= len(row):
        raise BadRow(
            f"{path}, line {line}: {len(row)} fields, but {name!r} is field {column + 1}; the file is cut short"
        )
    try:
        value: int | float | str = convert(row[column].strip())
    except ValueError:
        kind = "a whole number" if convert is _int else "a number"
        raise BadRow(f"{path}, line {line}: {name!r} is {row[column]!r}, expected {kind}") from None
    return value


def time_order(stamps_ns: NDArray[np.int64], path: Path) -> NDArray[np.intp]:
    """Return indices (N,) that sort samples by time; equal times keep their order.

    Raises OutOfOrder if the time goes back by more than MAX_STEP_BACK_S.
    """
    steps = np.diff(stamps_ns)
    if len(steps) and steps.min() < -MAX_STEP_BACK_S * 1e9:
        row = int(steps.argmin())
        raise OutOfOrder(
            f"{path}: time goes back by {-steps[row] / 1e9:.3f} s after sample {row + 1} (at {stamps_ns[row]} ns), "
            "expected rising times; the clock was set, or the file holds two recordings: split it there"
        )
    return np.argsort(stamps_ns, kind="stable")

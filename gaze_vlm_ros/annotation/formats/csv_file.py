"""Actions from a table: CSV, TSV or separated by semicolons, with columns of many possible names."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gaze_vlm_ros.annotation.formats.text_file import read_text
from gaze_vlm_ros.annotation.formats.times import BadTime, VideoTimes, in_range, unit_of_values
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.labels.actions import Action
from gaze_vlm_ros.storage.tables import BadRow, WrongColumns

ROLES = ("start", "end", "duration", "text", "verb", "object")
# Known column names, best first: lower case, other characters as "_", without the unit.
_KNOWN = {
    "start": ("start", "start_time", "start_timestamp", "begin", "begin_time", "onset", "from", "timestamp", "time"),
    "end": ("end", "end_time", "stop", "stop_time", "stop_timestamp", "end_timestamp", "offset", "to"),
    "duration": ("duration", "dur", "length"),
    "text": (
        "text", "label", "action", "narration", "caption", "description", "annotation", "activity", "behavior", "name",
    ),
    "verb": ("verb", "verb_class"),
    "object": ("object", "object_class", "noun", "noun_class"),
}  # fmt: skip
_UNIT_NAMES = {
    "s": "s", "sec": "s", "secs": "s", "second": "s", "seconds": "s", "ms": "ms", "msec": "ms", "milliseconds": "ms",
    "us": "us", "ns": "ns", "frame": "frame", "frames": "frame",
}  # fmt: skip
_VIDEO_COLUMNS = ("video", "video_id", "video_name", "file", "filename", "file_name", "media", "media_file_path")
_DELIMITERS = ",;\t|"
_HEADER_SHOWN = 300  # characters of a header in a message


class UnknownColumnRole(GazeVlmError):
    """--column names an unknown role."""


def read_csv(
    path: Path,
    times: VideoTimes,
    left_out: Counter[str],
    *,
    columns: Mapping[str, str] | None = None,  # by role, for columns of unknown names
    unit: str = "",  # of all times; "" = by column name or value
    delimiter: str = "",  # "" = whichever of , ; tab | is most frequent in the header
    encoding: str = "",  # "" = UTF-8, or by byte-order mark
) -> tuple[list[Action], dict[str, str]]:
    """Return the actions of a table with a header, and the column and unit that were used for each role.

    A duration has the unit of the start, or seconds if that is a clock or a date. If there is no text, it is made of
    verb and object. Raises FileMissing, WrongEncoding, WrongColumns, UnknownColumnRole, BadRow.
    """
    what = "a table of labels"
    text = read_text(path, what, encoding)
    delimiter = delimiter or max(_DELIMITERS, key=text.partition("\n")[0].count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise WrongColumns(f"{path} is not {what}: it is not a text table ({error})") from None
    header = [name.strip() for name in rows[0]] if rows else []
    role_columns, units = _role_columns(path, header, columns or {})
    lines = [(line, row) for line, row in enumerate(rows[1:], 2) if any(field.strip() for field in row)]
    for role in ("start", "end", "duration"):
        if role in role_columns:
            seen = (row[role_columns[role]].strip() for _, row in lines if len(row) > role_columns[role])
            units[role] = unit or units.get(role) or unit_of_values(seen)
    if "duration" in role_columns:
        if unit or units["duration"] not in ("s", "ms", "us", "ns", "frame"):
            units["duration"] = units["start"]
        if units["duration"] in ("clock", "datetime"):
            units["duration"] = "s"
    if {units.get("start"), units.get("end")} == {units.get("start"), "frame"} != {"frame"} and "end" in role_columns:
        raise WrongColumns(
            f"{path}: start is {header[role_columns['start']]!r} ({units['start']}) and end is "
            f"{header[role_columns['end']]!r} (frame): name columns of one unit by --column start=... --column end=..."
        )
    _require_one_video(path, header, lines)
    lines, ends = _paired(path, header, lines, role_columns)
    actions = []
    for line, row in lines:
        action = _action(path, line, row, header, role_columns, units, times, delimiter != ",", left_out)
        if action is not None and line in ends:
            until = _action(path, *ends[line], header, role_columns, units, times, delimiter != ",", Counter())
            action = replace(action, end_ns=until.start_ns) if until else action
        if action is not None:
            actions.append(action)
    used = {role: f"{header[column]} [{units[role]}]" if role in units else header[column]
            for role, column in role_columns.items()}  # fmt: skip
    return actions, used


def _require_one_video(path: Path, header: list[str], lines: list[tuple[int, list[str]]]) -> None:
    """Raise WrongColumns for a table with labels of several videos: their times have nothing to do with each other."""
    for column, name in enumerate(header):
        if _plain(name)[0] in _VIDEO_COLUMNS:
            videos = sorted({row[column].strip() for _, row in lines if len(row) > column} - {""})
            if len(videos) > 1:
                shown = ", ".join(videos[:5]) + (f" and {len(videos) - 5} more" if len(videos) > 5 else "")
                raise WrongColumns(
                    f"{path}: its column {name!r} names several videos ({shown}); keep the rows of the one that "
                    "this bag was recorded with"
                )


def _paired(
    path: Path, header: list[str], lines: list[tuple[int, list[str]]], role_columns: Mapping[str, int]
) -> tuple[list[tuple[int, list[str]]], dict[int, tuple[int, list[str]]]]:
    """Return the lines that start an action, and by line number the one that stops it (BORIS: START, STOP, POINT).

    A table without such a column is returned as it is. Raises BadRow for a STOP without a START.
    """
    plain = [_plain(name)[0] for name in header]
    column = next((plain.index(name) for name in ("status", "behavior_type") if name in plain), None)
    text = role_columns.get("text")
    if column is None or text is None:
        return lines, {}
    states = {row[column].strip().upper() for _, row in lines if len(row) > column}
    if not states <= {"START", "STOP", "POINT", "STATE START", "STATE STOP"} or not states & {"STOP", "STATE STOP"}:
        return lines, {}
    begun: dict[str, int] = {}
    kept, ends = [], {}
    for line, row in lines:
        if len(row) <= max(column, text):
            raise BadRow(f"{path}, line {line}: {len(row)} fields, expected {len(header)}; the file is cut short")
        if row[column].strip().upper().endswith("STOP"):
            if row[text] not in begun:
                raise BadRow(f"{path}, line {line}: {row[text]!r} stops without having started")
            ends[begun.pop(row[text])] = (line, row)
        else:
            kept.append((line, row))
            if not row[column].strip().upper().endswith("POINT"):
                begun[row[text]] = line
    return kept, ends


def _role_columns(path: Path, header: list[str], named: Mapping[str, str]) -> tuple[dict[str, int], dict[str, str]]:
    """Return the column of each role, and the unit of columns with a unit in their name.

    Raises WrongColumns, UnknownColumnRole.
    """
    shown = ", ".join(header)[:_HEADER_SHOWN] or "none"
    role_columns: dict[str, int] = {}
    units: dict[str, str] = {}
    for role, name in named.items():
        if role not in ROLES:
            raise UnknownColumnRole(f"--column {role}={name}: expected one of {', '.join(ROLES)} before the =")
        if name not in header:
            raise WrongColumns(f"{path} has no column {name!r}; its columns are {shown}")
        role_columns[role] = header.index(name)
    plain = [_plain(name) for name in header]
    frames: dict[str, int] = {}
    for role in ROLES:
        for known in _KNOWN[role]:
            if role not in role_columns and known in (name for name, _ in plain):
                candidates = [column for column, (name, _) in enumerate(plain) if name == known]
                if role in ("start", "end") and all(plain[column][1] == "frame" for column in candidates):
                    frames.setdefault(role, candidates[0])  # times are better than numbers of frames
                    continue
                role_columns[role] = candidates[0]
        if role in frames and (
            role not in role_columns or (role == "end" and role_columns.get("start") == frames.get("start", -1))
        ):
            role_columns[role] = frames[role]
        if role in role_columns and plain[role_columns[role]][1]:
            units[role] = plain[role_columns[role]][1]
    if "start" not in role_columns or not {"text", "verb", "object"} & role_columns.keys():
        lacking = "the start of a label" if "start" not in role_columns else "its text"
        raise WrongColumns(
            f"{path}: no column is known as {lacking}; its columns are {shown}; name one, such as --column "
            f"{'start' if 'start' not in role_columns else 'text'}=NAME"
        )
    return role_columns, units


def _plain(name: str) -> tuple[str, str]:
    """Return a column name without its unit, and the unit or "": "Start (ms)" gives start, ms."""
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
    if words[-4:] == ["hh", "mm", "ss", "ms"]:  # of ELAN, as the next one
        return "_".join(words[:-4]), "clock"
    if words[-2:] == ["ss", "msec"]:  # seconds with a fraction
        return "_".join(words[:-2]), "s"
    if len(words) > 1 and words[-1] in _UNIT_NAMES:
        return "_".join(words[:-1]), _UNIT_NAMES[words[-1]]
    if words == ["frame"]:
        return "start", "frame"
    return "_".join(words), ""


def _action(
    path: Path,
    line: int,
    row: list[str],
    header: list[str],
    role_columns: Mapping[str, int],
    units: Mapping[str, str],
    times: VideoTimes,
    decimal_comma: bool,
    left_out: Counter[str],
) -> Action | None:
    def value(role: str) -> str:
        column = role_columns.get(role)
        if column is None:
            return ""
        if column >= len(row):
            raise BadRow(f"{path}, line {line}: {len(row)} fields, but {header[column]!r} is field {column + 1}")
        return " ".join(row[column].split())

    def time(role: str, since: VideoTimes = times) -> int:
        try:
            return since.of_text(value(role), units[role], decimal_comma)
        except BadTime as error:
            raise BadRow(f"{path}, line {line}: {header[role_columns[role]]!r} is {error}") from None

    verb, noun = value("verb"), value("object")
    text = value("text") or " ".join(filter(None, [verb, noun]))
    if not text:
        left_out["rows without a text"] += 1
        return None
    start_ns = time("start")
    end_ns = None
    if value("end"):
        end_ns = time("end")
    elif value("duration"):
        if units["duration"] == "frame":
            raise BadRow(f"{path}: durations in frames need a frame rate; give the end instead")
        zero = VideoTimes(times.frames_ns[:1])
        try:
            end_ns = in_range(start_ns + time("duration", zero) - zero.of_media(0))
        except BadTime as error:
            raise BadRow(f"{path}, line {line}: start and {header[role_columns['duration']]!r} give {error}") from None
    return Action(start_ns, end_ns, text, verb, noun)

"""Actions from a table: CSV, TSV or with semicolons, whatever its columns are called."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from gaze_vlm_ros.annotation.formats.text_file import read_text
from gaze_vlm_ros.annotation.formats.times import BadTime, VideoTimes, unit_of_values
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.labels.actions import Action
from gaze_vlm_ros.storage.tables import BadRow, WrongColumns

ROLES = ("start", "end", "duration", "text", "verb", "object")
# Names by which columns are found, the surest first, in lower case, other characters as "_", without their unit.
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
_DELIMITERS = ",;\t|"
_HEADER_SHOWN = 300  # characters


class UnknownColumnRole(GazeVlmError):
    """--column names something that no label has."""


def read_csv(
    path: Path,
    times: VideoTimes,
    left_out: Counter[str],
    *,
    columns: Mapping[str, str] | None = None,  # by role, where their names do not tell
    unit: str = "",  # of all times; "" = what column names or values say
    delimiter: str = "",  # "" = the one of , ; tab | that the header has most of
    encoding: str = "",  # "" = UTF-8, or what a byte-order mark says
) -> tuple[list[Action], dict[str, str]]:
    """The actions of a table with a header, and what was taken for what: column and unit by role.

    A duration is in the unit of the start, and in seconds where that is a clock or date. Without a text, verb and
    object make one. Raises FileMissing, WrongEncoding, WrongColumns, UnknownColumnRole, BadRow.
    """
    what = "a table of labels"
    text = read_text(path, what, encoding)
    delimiter = delimiter or max(_DELIMITERS, key=text.partition("\n")[0].count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise WrongColumns(f"{path} is not {what}: it is no text table ({error})") from None
    header = [name.strip() for name in rows[0]] if rows else []
    places, units = _places(path, header, columns or {})
    lines = [(line, row) for line, row in enumerate(rows[1:], 2) if any(field.strip() for field in row)]
    for role in ("start", "end", "duration"):
        if role in places:
            seen = (row[places[role]].strip() for _, row in lines if len(row) > places[role])
            units[role] = unit or units.get(role) or unit_of_values(seen)
    if "duration" in places:
        if unit or units["duration"] not in ("s", "ms", "us", "ns", "frame"):
            units["duration"] = units["start"]
        if units["duration"] in ("clock", "datetime"):
            units["duration"] = "s"
    actions = []
    for line, row in lines:
        action = _action(path, line, row, header, places, units, times, delimiter != ",", left_out)
        if action is not None:
            actions.append(action)
    used = {role: f"{header[place]} [{units[role]}]" if role in units else header[place]
            for role, place in places.items()}  # fmt: skip
    return actions, used


def _places(path: Path, header: list[str], named: Mapping[str, str]) -> tuple[dict[str, int], dict[str, str]]:
    """Column of each role, and the unit of those whose names tell one. Raises WrongColumns, UnknownColumnRole."""
    shown = ", ".join(header)[:_HEADER_SHOWN] or "none"
    places: dict[str, int] = {}
    units: dict[str, str] = {}
    for role, name in named.items():
        if role not in ROLES:
            raise UnknownColumnRole(f"--column {role}={name}: expected one of {', '.join(ROLES)} in front of the =")
        if name not in header:
            raise WrongColumns(f"{path} has no column {name!r}; its columns are {shown}")
        places[role] = header.index(name)
    plain = [_plain(name) for name in header]
    for role in ROLES:
        for known in _KNOWN[role]:
            if role not in places and known in (name for name, _ in plain):
                candidates = [place for place, (name, _) in enumerate(plain) if name == known]
                places[role] = candidates[0]
        if role in places and plain[places[role]][1]:
            units[role] = plain[places[role]][1]
    if "start" not in places or not {"text", "verb", "object"} & places.keys():
        lacking = "when labels start" if "start" not in places else "what they say"
        raise WrongColumns(
            f"{path}: no column tells {lacking}; its columns are {shown}; name one, such as --column "
            f"{'start' if 'start' not in places else 'text'}=NAME"
        )
    return places, units


def _plain(name: str) -> tuple[str, str]:
    """(name without its unit, unit or ""): "Start (ms)" is start in ms."""
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
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
    places: Mapping[str, int],
    units: Mapping[str, str],
    times: VideoTimes,
    decimal_comma: bool,
    left_out: Counter[str],
) -> Action | None:
    def value(role: str) -> str:
        place = places.get(role)
        if place is None:
            return ""
        if place >= len(row):
            raise BadRow(f"{path}, line {line}: {len(row)} fields, and {header[place]!r} is field {place + 1}")
        return " ".join(row[place].split())

    def time(role: str, since: VideoTimes = times) -> int:
        try:
            return since.of_text(value(role), units[role], decimal_comma)
        except BadTime as error:
            raise BadRow(f"{path}, line {line}: {header[places[role]]!r} is {error}") from None

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
            raise BadRow(f"{path}: durations in frames tell no time without their rate; give the end instead")
        zero = VideoTimes(times.frames_ns[:1])
        end_ns = start_ns + time("duration", zero) - zero.of_media(0)
    return Action(start_ns, end_ns, text, verb, noun)

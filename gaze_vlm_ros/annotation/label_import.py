"""`gaze-vlm label import`: labels from another program's annotation file."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gaze_vlm_ros.annotation.formats.times import UNITS, VideoTimes
from gaze_vlm_ros.annotation.placement import PlacementSummary, place_labels, require_no_labels
from gaze_vlm_ros.bags.role_options import AS_THE_BAG_SAYS, Roles
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.labels.actions import Action
from gaze_vlm_ros.session.session import load_session
from gaze_vlm_ros.storage.tables import require_file

_BY_SUFFIX = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".vtt": "webvtt", ".srt": "srt", ".eaf": "elan", ".json": "ego4d",
}  # fmt: skip
LONGEST_OFFSET_S = 3.2e9
FORMATS = ("csv", "webvtt", "srt", "elan", "ego4d")
# Options of each format; any other is refused.
_OPTIONS = {
    "csv": ("columns", "unit", "frame_rate_hz", "first_frame_number", "delimiter", "encoding"),
    "webvtt": ("encoding",),
    "srt": ("encoding",),
    "elan": ("tier", "verb_tier", "object_tier"),
    "ego4d": ("video",),
}


class UnknownFormat(GazeVlmError):
    """The format of the file is neither given nor known from its name."""


class OptionOfAnotherFormat(GazeVlmError):
    """The format does not have this option."""


class BadOption(GazeVlmError):
    """An option has an impossible value."""


def import_labels(
    bag: Path,
    file: Path,
    *,
    format: str = "",  # one of FORMATS; "" = by the file's extension
    offset_s: float = 0.0,  # added to every time: for an annotated video that started later than the bag
    replace: bool = False,
    add: bool = False,
    roles: Roles = AS_THE_BAG_SAYS,
    **options: Any,  # of the format; empty values count as not given
) -> PlacementSummary:
    """Write the labels of `file` beside the bag.

    Raises UnknownFormat, OptionOfAnotherFormat, BadOption, and what the format's reader and `place_labels` raise.
    """
    form = format or _BY_SUFFIX.get(file.suffix.lower(), "")
    if form not in FORMATS:
        raise UnknownFormat(f"{file}: unknown extension; give --format {'|'.join(FORMATS)}")
    given = {key: value for key, value in options.items() if value}
    if foreign := sorted(given.keys() - _OPTIONS[form]):
        raise OptionOfAnotherFormat(f"{form} takes no --{foreign[0].replace('_', '-')}; leave it out")
    if given.get("unit") and given["unit"] not in UNITS:
        raise BadOption(f"--unit {given['unit']}: expected one of {', '.join(UNITS)}")
    if not abs(offset_s) <= LONGEST_OFFSET_S:
        raise BadOption(f"--offset-s {offset_s:g}: expected at most {LONGEST_OFFSET_S:g} s, which is a century")
    require_file(file, "an annotation file")
    require_no_labels(bag, replace, add)
    session = load_session(bag, labels_from="nowhere", roles=roles)
    times = VideoTimes(
        session.frames.stamps_ns,
        frame_rate_hz=given.pop("frame_rate_hz", 0.0),
        first_frame_number=given.pop("first_frame_number", 0),
        offset_ns=round(offset_s * 1e9),
    )
    left_out: Counter[str] = Counter()
    actions, used = _read(form, file, times, session.name, left_out, given)
    source = {
        "kind": "import",
        "format": form,
        "file": file.name,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "offset_s": offset_s,
        "options": {key: value for key, value in options.items() if value},
        "used": used,
    }
    return place_labels(session, actions, source, left_out, used=used, replace=replace, add=add)


def _read(
    form: str, file: Path, times: VideoTimes, session: str, left_out: Counter[str], options: Mapping[str, Any]
) -> tuple[list[Action], dict[str, str]]:
    # Import only the reader that is needed.
    if form == "csv":
        from gaze_vlm_ros.annotation.formats.csv_file import read_csv

        return read_csv(file, times, left_out, **options)
    if form in ("webvtt", "srt"):
        from gaze_vlm_ros.annotation.formats.subtitles import read_subtitles

        return read_subtitles(file, times, left_out, form, **options), {}
    if form == "elan":
        from gaze_vlm_ros.annotation.formats.elan import read_elan

        return read_elan(file, times, left_out, **options)
    from gaze_vlm_ros.annotation.formats.ego4d import read_ego4d_labels

    return read_ego4d_labels(file, times, left_out, options.get("video", "") or session)


def columns_from(arguments: Sequence[str]) -> dict[str, str]:
    """Return {"start": "Begin"} for ["start=Begin"]. Raises BadOption."""
    columns = {}
    for argument in arguments:
        role, equals, name = argument.partition("=")
        if not equals or not name:
            raise BadOption(f"--column {argument}: expected ROLE=NAME, such as start=Begin")
        columns[role.strip()] = name.strip()
    return columns

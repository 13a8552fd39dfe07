"""Any video with any table of gaze, by a small mapping file that says what the table's columns mean.

Nothing is guessed: the mapping names the columns, unit, origin and clock, and what cannot be so is refused.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.importers.eye_events import EYE_UNKNOWN, WORN_UNKNOWN
from gaze_vlm_ros.importers.imported_session import UNDATED_START_NS, ImportedSession, TimedVideo
from gaze_vlm_ros.importers.plausible import distinct_samples, require_on_picture, without_placeholders
from gaze_vlm_ros.importers.video import Video, read_video, within_video
from gaze_vlm_ros.labels.track import track_from_actions
from gaze_vlm_ros.session.gaze_track import GazeTrack, points_to_px
from gaze_vlm_ros.storage.settings_file import load_settings_file
from gaze_vlm_ros.storage.tables import FileMissing, Table, read_table, require_file, time_order

UNITS, ORIGINS, CLOCKS = ("px", "normalized"), ("top_left", "bottom_left"), ("video", "unix")
TIME_UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1000, "ns": 1, "frame": 0}  # ns; a frame has its own time
WHOLE_UNITS = ("us", "ns", "frame")  # read as whole numbers, which a float of ns since 1970 is not


class BadMapping(GazeVlmError):
    """The mapping file cannot be used."""


@dataclass(frozen=True)
class Mapping:
    """The content of a mapping file."""

    time: str  # columns of the table, by name
    x: str
    y: str
    unit: str  # of x and y: px or normalized (shares of the picture)
    origin: str  # of x and y: the picture's top_left or bottom_left corner
    time_unit: str  # s, ms, us, ns, or frame: the number of a frame, from 0
    clock: str = "video"  # unix: times are since 1970, and the bag is dated; video: any other clock
    first_frame: int | float = 0  # time of the video's first frame on the clock of the gaze, in time_unit
    image_size: list[int] = field(default_factory=list)  # [width, height] px that gaze is on; empty = the video's
    confidence: str = ""  # column, 0 to 1; empty = none
    pupil_left: str = ""  # columns of the pupils' diameters, mm; empty = none
    pupil_right: str = ""
    no_sample: list[list[float]] = field(default_factory=list)  # [x, y] as the table has them where there is no sample
    repeats: str = "refuse"  # samples equal to the one before: refuse them where they are many, drop or keep them
    delimiter: str = ","


def read_generic(
    video_path: Path, mapping: Path | None = None, gaze: Path | None = None, cut: bool = False
) -> ImportedSession:
    """Read a video and the table of its gaze.

    mapping: the mapping file; required. gaze: the table; None = beside the video, with the ending .csv or .tsv.
    cut: leave out gaze beyond the video, however long.
    Raises BadMapping, FileMissing, WrongColumns, BadRow, OutOfOrder, BadVideo, VideoTooShort, WrongUnit, HeldSamples.
    """
    require_file(video_path, "a video")
    said = load_mapping(mapping)
    gaze = gaze or _beside(video_path)
    table = _read(gaze, said)
    video = read_video(video_path)
    left_out: Counter[str] = Counter()
    times_ns = _times_after_first_frame(table, said, video, left_out)
    points = np.stack([table.floats[said.x], table.floats[said.y]], axis=1)
    points = without_placeholders(points, [(x, y) for x, y in said.no_sample], left_out)
    size = (said.image_size[0], said.image_size[1]) if said.image_size else video.size
    xy = points_to_px(points, f"{said.unit}_{said.origin}", size)
    require_on_picture(xy, size, gaze)
    kept = within_video(video, times_ns, "gaze samples", cut)
    left_out["gaze samples after the video's end"] += int((~kept).sum())
    order = np.flatnonzero(kept)[time_order(times_ns[kept], gaze)]
    order = order[distinct_samples(xy[order], said.repeats, gaze, left_out)]
    # The first frame is exact where its time is a whole number.
    start_ns = round(said.first_frame * TIME_UNITS[said.time_unit]) if said.clock == "unix" else UNDATED_START_NS
    count = len(order)
    return ImportedSession(
        metadata={"session": video_path.stem, "gaze_file": gaze.name, "mapping": mapping.name if mapping else ""},
        videos=[TimedVideo(video, start_ns + video.times_ns)],
        gaze=GazeTrack(
            start_ns + times_ns[order],
            xy[order],
            _column(table, said.confidence)[order],
            np.full(count, WORN_UNKNOWN, np.uint8),
            np.full(count, EYE_UNKNOWN, np.uint8),
            size,
        ),
        device_ns=np.zeros(count, np.int64),
        labels=track_from_actions([], left_out),
        pupils_mm=np.stack([_column(table, said.pupil_left), _column(table, said.pupil_right)], axis=1)[order],
        left_out=left_out,
    )


def load_mapping(path: Path | None) -> Mapping:
    """Return the content of a mapping file. Raises BadMapping."""
    if path is None:
        raise BadMapping("a video of any kind needs --mapping FILE: it says what the columns of its gaze table mean")
    said = load_settings_file(Mapping, [path], error=BadMapping, example="docs/importing.md")
    for name, value, known in (
        ("unit", said.unit, UNITS), ("origin", said.origin, ORIGINS), ("clock", said.clock, CLOCKS),
        ("time_unit", said.time_unit, tuple(TIME_UNITS)), ("repeats", said.repeats, ("refuse", "drop", "keep")),
    ):  # fmt: skip
        if value not in known:
            raise BadMapping(f"{path}: {name} is {value!r}, expected one of {', '.join(known)}")
    if said.image_size and (len(said.image_size) != 2 or min(said.image_size) < 1):
        raise BadMapping(f"{path}: image_size is {said.image_size}, expected [width, height] in px")
    if len(said.delimiter) != 1:
        raise BadMapping(f"{path}: delimiter is {said.delimiter!r}, expected one character")
    if any(len(place) != 2 for place in said.no_sample):
        raise BadMapping(f"{path}: no_sample is {said.no_sample}, expected places [x, y]")
    if said.clock == "unix" and (said.time_unit == "frame" or said.first_frame <= 0):
        raise BadMapping(
            f"{path}: clock unix needs first_frame, when the video began since 1970, in s, ms, us or ns; "
            f"it is {said.first_frame} {said.time_unit}"
        )
    return said


def _beside(video: Path) -> Path:
    for ending in (".csv", ".tsv"):
        if video.with_suffix(ending).is_file():
            return video.with_suffix(ending)
    raise FileMissing(f"no gaze of {video}: expected {video.with_suffix('.csv').name} beside it; give it with --gaze")


def _read(gaze: Path, said: Mapping) -> Table:
    numbers = [name for name in (said.x, said.y, said.confidence, said.pupil_left, said.pupil_right) if name]
    whole = said.time_unit in WHOLE_UNITS
    return read_table(
        gaze, "the table of gaze that the mapping describes", ints=[said.time] if whole else [],
        floats=numbers if whole else [said.time, *numbers], delimiter=said.delimiter,
    )  # fmt: skip


def _column(table: Table, name: str) -> NDArray[np.float64]:
    return table.floats[name] if name else np.full(len(next(iter(table.floats.values()))), np.nan)


def _times_after_first_frame(table: Table, said: Mapping, video: Video, left_out: Counter[str]) -> NDArray[np.int64]:
    """Return times (N,) after the video's first frame, ns; those before it, or of no frame, stay before or after."""
    if said.time_unit == "frame":
        number = table.ints[said.time] - int(said.first_frame)
        inside = np.clip(number, 0, len(video) - 1)
        return video.times_ns[inside] + (number - inside) * max(video.frame_ns, 1)
    if said.time_unit in WHOLE_UNITS:
        unit_ns = TIME_UNITS[said.time_unit]
        return (table.ints[said.time] - int(said.first_frame)) * unit_ns
    times = table.floats[said.time]
    left_out["gaze samples without a time"] += int((~np.isfinite(times)).sum())
    after = np.where(np.isfinite(times), times - float(said.first_frame), np.inf)
    # A sample without a time is put after the video, where it is left out.
    end = float(video.times_ns[-1] + max(video.frame_ns, 1)) / TIME_UNITS[said.time_unit]
    return np.round(np.where(np.isfinite(after), after, end) * TIME_UNITS[said.time_unit]).astype(np.int64)

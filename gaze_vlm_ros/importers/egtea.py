"""EGTEA Gaze+: the video of one session, its gaze as exported by SMI BeGaze, and the raw action annotations.

Data set: https://cbs.ic.gatech.edu/fpv/. Gaze: one tab-separated text file per session, in one of the two layouts that
the data set's own reader accepts (gaze_io_sample.py; a copy:
https://github.com/BolinLai/GLC/blob/main/data/gaze_io_sample.py): 7 columns with the number of the video frame, or 26
with its time code HH:MM:SS:FF at 24 frames/s; px on 1280x960 from the top left corner, whatever the video's size.
Columns are found by name (BeGaze's raw data export: Time in µs, Type SMP = sample, B, L and R POR X/Y [px] = point of
regard of both eyes, the left, the right; Frame; Event Info). Actions, raw_annotations/action_labels.csv: "Clip ID; Clip
Prefix; Video Session; Starting Time (ms); Ending Time (ms); Action Label; Verb Label; Noun Label(s)". It has no dates.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.importers.eye_events import EYE_BLINK, EYE_FIXATION, EYE_SACCADE, EYE_UNKNOWN, WORN_UNKNOWN
from gaze_vlm_ros.importers.imported_session import UNDATED_START_NS, ImportedSession, TimedVideo
from gaze_vlm_ros.importers.video import Video, read_video, require_rate, within_video
from gaze_vlm_ros.labels.actions import Action
from gaze_vlm_ros.labels.track import track_from_actions
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.storage.tables import BadRow, FileMissing, WrongColumns, read_table, require_file, time_order

FRAME_RATE_HZ = 24
GAZE_SIZE = (1280, 960)  # (width, height) px of the image that points of regard refer to
EYE_STATES = {"fixation": EYE_FIXATION, "visual intake": EYE_FIXATION, "saccade": EYE_SACCADE, "blink": EYE_BLINK}
SESSION, START_MS, END_MS = "Video Session", "Starting Time (ms)", "Ending Time (ms)"
ACTION, VERB, NOUNS = "Action Label", "Verb Label", "Noun Label(s)"
_SESSION_NAME = re.compile(r"(?P<person>O?P\d+)-(?P<recipe>R\d+)-(?P<task>.+)", re.IGNORECASE)


class NoActions(GazeVlmError):
    """The annotations have no action of this session."""


def read_egtea(
    video_path: Path, gaze: Path | None = None, labels: Path | None = None, cut: bool = False
) -> ImportedSession:
    """Read a session's whole video (not a clip), named after the session, such as P26-R05-Cheeseburger.mp4.

    gaze: its BeGaze export; None = gaze_data/<session>.txt near the video. labels: action_labels.csv; None = no labels.
    cut: leave out gaze and labels beyond the video, however long.
    Raises FileMissing, WrongColumns, BadRow, OutOfOrder, BadVideo, WrongFrameRate, VideoTooShort, NoActions.
    """
    session = video_path.stem
    require_file(video_path, "the video of an EGTEA Gaze+ session, <session>.mp4")
    gaze = gaze or _near(video_path)
    left_out: Counter[str] = Counter()
    samples = _read_begaze(gaze, left_out)
    video = read_video(video_path)
    require_rate(video, FRAME_RATE_HZ, "gaze counts frames by number")
    stamps_ns, kept = _stamps(samples, video, left_out, cut)
    order = np.flatnonzero(kept)[time_order(stamps_ns[kept], gaze)]
    actions = _actions(labels, session, video, left_out, cut) if labels is not None else []
    named = _SESSION_NAME.fullmatch(session)
    return ImportedSession(
        metadata={
            "session": session,
            "person": named["person"] if named else "",
            "task": named["task"] if named else "",
            "tracker": "SMI Eye Tracking Glasses",
        },
        videos=[TimedVideo(video, UNDATED_START_NS + video.times_ns)],
        gaze=GazeTrack(
            UNDATED_START_NS + stamps_ns[order],
            samples.xy[order],
            np.full(len(order), np.nan),
            np.full(len(order), WORN_UNKNOWN, np.uint8),
            samples.eye_states[order],
            GAZE_SIZE,
        ),
        device_ns=samples.times_us[order] * 1000,
        labels=track_from_actions(actions, left_out),
        left_out=left_out,
    )


class _Samples(NamedTuple):
    """Rows of a BeGaze export, unchanged."""

    times_us: NDArray[np.int64]  # (N,) of the tracker's clock
    frames: NDArray[np.int64]  # (N,) number of the video frame, from 0
    xy: NDArray[np.float64]  # (N, 2) px on GAZE_SIZE; NaN = none
    eye_states: NDArray[np.uint8]  # (N,)


def _near(video: Path) -> Path:
    folders = [video.parent, video.parent / "gaze_data"]
    folders += [video.parent.parent / "gaze_data", video.parent.parent / "gaze_data" / "gaze_data"]
    for folder in folders:
        if (folder / f"{video.stem}.txt").is_file():
            return folder / f"{video.stem}.txt"
    raise FileMissing(
        f"no gaze of {video}: expected {video.stem}.txt in one of {', '.join(map(str, folders))}; give it with --gaze"
    )


def _read_begaze(path: Path, left_out: Counter[str]) -> _Samples:
    """Read the samples of a BeGaze export. Raises FileMissing, WrongColumns, BadRow."""
    require_file(path, "a BeGaze export of EGTEA Gaze+")
    times_us, frames, points, states = [], [], [], []
    columns: dict[str, int] = {}
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        for line, text in enumerate(stream, start=1):
            fields = text.rstrip("\r\n").split("\t")
            if not columns:
                if fields[0].strip() == "Time":
                    columns = _columns([name.strip() for name in fields], path)
                continue
            if not text.strip():
                continue
            if len(fields) > columns["type"] and fields[columns["type"]].strip() != "SMP":
                left_out["rows of the gaze file that are not samples"] += 1
                continue
            if len(fields) <= max(columns.values()):
                raise BadRow(
                    f"{path}, line {line}: {len(fields)} fields, expected {max(columns.values()) + 1}; it is cut short"
                )
            entry = {name: fields[place].strip() for name, place in columns.items()}
            try:
                times_us.append(round(float(entry["time"])))
                frames.append(_frame_number(entry["frame"]))
                points.append((_px(entry["x"]), _px(entry["y"])))
            except ValueError:
                raise BadRow(
                    f"{path}, line {line}: time {entry['time']!r}, frame {entry['frame']!r}, point {entry['x']!r}, "
                    f"{entry['y']!r}; expected µs, a frame number or HH:MM:SS:FF, and px"
                ) from None
            states.append(EYE_STATES.get(entry["event"].lower(), EYE_UNKNOWN))
    if not columns:
        raise WrongColumns(
            f"{path} is not a BeGaze export: no line starts with 'Time'; give the session's gaze_data .txt"
        )
    xy = np.array(points, np.float64).reshape(-1, 2)
    xy[(xy == 0).all(axis=1)] = np.nan  # BeGaze writes 0, 0 for no point
    return _Samples(np.array(times_us, np.int64), np.array(frames, np.int64), xy, np.array(states, np.uint8))


def _columns(header: list[str], path: Path) -> dict[str, int]:
    """Return the index of each column to read. Both eyes are preferred to the left eye, the left to the right."""
    places = {"time": 0}
    for name, candidates in {
        "type": ("Type",),
        "x": ("B POR X [px]", "L POR X [px]", "R POR X [px]"),
        "y": ("B POR Y [px]", "L POR Y [px]", "R POR Y [px]"),
        "frame": ("Frame",),
        "event": ("B Event Info", "L Event Info", "R Event Info"),
    }.items():
        found = next((candidate for candidate in candidates if candidate in header), None)
        if found is None:
            raise WrongColumns(
                f"{path} has no column {' or '.join(map(repr, candidates))}, expected a BeGaze raw data export with "
                f"Time, Type, POR, Frame and Event Info; its columns are {', '.join(header)}"
            )
        places[name] = header.index(found)
    return places


def _frame_number(text: str) -> int:
    if ":" not in text:
        return int(text)
    hours, minutes, seconds, frame = (int(part) for part in text.split(":"))
    return ((hours * 60 + minutes) * 60 + seconds) * FRAME_RATE_HZ + frame


def _px(text: str) -> float:
    return np.nan if text in ("", "-") else float(text)


def _stamps(
    samples: _Samples, video: Video, left_out: Counter[str], cut: bool
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return times (N,) after the video's first frame, ns, and which samples have a frame.

    A sample belongs to the frame that BeGaze names. The first sample of a frame gets the frame's time; the others keep
    their distance to it on the tracker's clock, but stay within the frame.
    """
    frames, times_ns = samples.frames, video.times_ns
    nominal_ns = frames * 1_000_000_000 // FRAME_RATE_HZ
    has_frame = within_video(video, nominal_ns, "gaze samples", cut) & (frames >= 0) & (frames < len(video))
    left_out["gaze samples before the video's first frame or after its last"] = int((~has_frame).sum())
    frame = np.clip(frames, 0, len(video) - 1)
    first_us: dict[int, int] = {}
    for number, time_us in zip(frames.tolist(), samples.times_us.tolist(), strict=True):
        first_us[number] = min(time_us, first_us.get(number, time_us))
    after_ns = (samples.times_us - np.array([first_us[number] for number in frames.tolist()], np.int64)) * 1000
    return times_ns[frame] + np.clip(after_ns, 0, max(video.frame_ns - 1, 0)), has_frame


def _actions(path: Path, session: str, video: Video, left_out: Counter[str], cut: bool) -> list[Action]:
    table = read_table(
        path,
        "action_labels.csv of EGTEA Gaze+",
        ints=(START_MS, END_MS),
        texts=(SESSION, ACTION, VERB, NOUNS),
        delimiter=";",
    )
    own = np.array([name == session for name in table.texts[SESSION]], np.bool_)
    if not own.any():
        known = ", ".join(sorted(set(table.texts[SESSION]))[:5])
        raise NoActions(
            f"{path} has no action of session {session!r} (it has {known}, ...); name the video after its session"
        )
    starts_ns, ends_ns = (table.ints[name] * 1_000_000 for name in (START_MS, END_MS))
    kept = np.zeros(len(own), np.bool_)
    kept[own] = within_video(video, starts_ns[own], "labels", cut)
    left_out["actions after the video's end"] += int((own & ~kept).sum())
    return [
        Action(
            UNDATED_START_NS + int(starts_ns[row]),
            UNDATED_START_NS + int(ends_ns[row]),
            *(_words(table.texts[name][row]) for name in (ACTION, VERB, NOUNS)),
        )
        for row in np.flatnonzero(kept)
    ]


def _words(label: str) -> str:
    """Return a label in words: "Put cucumber,cutting_board" gives "put cucumber, cutting board"."""
    return label.lower().replace("_", " ").replace(",", ", ")

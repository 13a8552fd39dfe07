"""Ego4D: one canonical video with its gaze, and its narrations or long-term anticipation labels as actions.

Gaze: https://ego4d-data.org/docs/data/gaze/, one CSV a video. norm_pos is Pupil Core's normalized space, whose origin
is the image's BOTTOM left corner: https://docs.pupil-labs.com/core/terminology/#coordinate-system. Annotations:
https://ego4d-data.org/docs/data/annotations-schemas/ (narration.json, fho_lta_<set>.json); tags in narrations:
https://ego4d-data.org/docs/data/annotation-guidelines/. Times are seconds of the canonical video, from its
first frame: https://ego4d-data.org/docs/data/videos/. The data set has no dates.
"""

from __future__ import annotations

import json
import mmap
import re
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.importers.eye_events import EYE_UNKNOWN, WORN_UNKNOWN
from gaze_vlm_ros.importers.imported_session import UNDATED_START_NS, ImportedSession, TimedVideo
from gaze_vlm_ros.importers.video import Video, read_video, within_video
from gaze_vlm_ros.labels.actions import Action
from gaze_vlm_ros.labels.track import track_from_actions
from gaze_vlm_ros.session.gaze_track import GazeTrack, points_to_px
from gaze_vlm_ros.storage.tables import FileMissing, read_table, require_file, time_order

TIME, CONFIDENCE, X, Y = "canonical_timestamp_s", "confidence", "norm_pos_x", "norm_pos_y"
# A narration has only one time. Its action is assumed to last until the next one, at most this long.
LONGEST_NARRATION_S = 5.0
_HEAD_BYTES = 1 << 16  # enough to recognize which annotation file it is
_OWN_ACTION = re.compile(r"#c\b\s*(c\b)?\s*", re.IGNORECASE)  # "#C C picks a cup": the camera wearer picks a cup
_TAXONOMY = re.compile(r"_\(.*\)$")  # "put_(place,_leave,_drop)"


class BadAnnotations(GazeVlmError):
    """The file is not an annotation file with actions, or is damaged."""


class NoActions(GazeVlmError):
    """The annotation file has no action of this video."""


def read_ego4d(
    video_path: Path, gaze: Path | None = None, labels: Path | None = None, cut: bool = False
) -> ImportedSession:
    """Read one canonical video, named by its uid.

    gaze: its CSV; None = where the data set's downloader puts it, or beside the video. labels: narration.json or
    fho_lta_<set>.json; None = no labels. cut: leave out gaze and labels beyond the video, however long.
    Raises FileMissing, WrongColumns, BadRow, OutOfOrder, BadVideo, VideoTooShort, BadAnnotations, NoActions.
    """
    uid = video_path.stem
    require_file(video_path, "a canonical video of Ego4D, <video uid>.mp4")
    gaze = gaze or _beside(video_path)
    table = read_table(gaze, "a gaze CSV of Ego4D", floats=(TIME, CONFIDENCE, X, Y), optional=(CONFIDENCE,))
    video = read_video(video_path)
    left_out: Counter[str] = Counter()
    timed = np.isfinite(table.floats[TIME])
    left_out["gaze samples without a time"] = int((~timed).sum())
    times_ns = np.round(np.nan_to_num(table.floats[TIME]) * 1e9).astype(np.int64)
    kept = timed & within_video(video, np.where(timed, times_ns, 0), "gaze samples", cut)
    left_out["gaze samples after the video's end"] = int((timed & ~kept).sum())
    order = np.flatnonzero(kept)[time_order(times_ns[kept], gaze)]
    count = len(order)
    points = np.stack([table.floats[X], table.floats[Y]], axis=1)[order]
    confidence = table.floats.get(CONFIDENCE, np.full(len(timed), np.nan))[order]
    actions = read_actions(labels, uid, left_out) if labels is not None else []
    return ImportedSession(
        metadata={"session": uid, "tracker": "Ego4D gaze"},
        videos=[TimedVideo(video, UNDATED_START_NS + video.times_ns)],
        gaze=GazeTrack(
            UNDATED_START_NS + times_ns[order],
            points_to_px(points, "normalized_bottom_left", video.size),
            confidence,
            np.full(count, WORN_UNKNOWN, np.uint8),
            np.full(count, EYE_UNKNOWN, np.uint8),
            video.size,
        ),
        device_ns=np.zeros(count, np.int64),
        labels=track_from_actions(_with_video(actions, video, left_out, cut), left_out),
        left_out=left_out,
    )


def _beside(video: Path) -> Path:
    """Return the gaze CSV of a video: `../gaze/<uid>.csv`, as downloaded, or beside it. Raises FileMissing."""
    places = [video.parent.parent / "gaze" / f"{video.stem}.csv", video.with_suffix(".csv")]
    for place in places:
        if place.is_file():
            return place
    raise FileMissing(
        f"no gaze of {video}: expected {' or '.join(map(str, places))}; download it (ego4d --datasets gaze), or "
        "give its path with --gaze"
    )


def _with_video(actions: list[Action], video: Video, left_out: Counter[str], cut: bool) -> list[Action]:
    starts_ns = np.array([action.start_ns for action in actions], np.int64) - UNDATED_START_NS
    kept = within_video(video, starts_ns, "labels", cut)
    left_out["actions after the video's end"] += int((~kept).sum())
    return [action for action, keep in zip(actions, kept, strict=True) if keep]


def read_actions(path: Path, uid: str, left_out: Counter[str]) -> list[Action]:
    """Return the camera wearer's actions in one video; its first frame is at UNDATED_START_NS.

    path: narration.json or fho_lta_<set>.json. Raises FileMissing, BadAnnotations, NoActions.
    """
    require_file(path, "narration.json or fho_lta_<set>.json of Ego4D")
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    try:
        if b'"clips"' in head:
            actions = list(_anticipation_actions(path, uid))
        else:
            actions = list(_narrated_actions(path, uid, left_out))
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise BadAnnotations(
            f"{path} is neither narration.json nor fho_lta_<set>.json of Ego4D, or it is damaged "
            f"({type(error).__name__}: {error}); download it again"
        ) from None
    if not actions:
        raise NoActions(f"{path} has no action of video {uid}; give another file, or no labels")
    return actions


def _narrated_actions(path: Path, uid: str, left_out: Counter[str]) -> Iterator[Action]:
    """Return the camera wearer's actions from the first narrator, or from the second if there is no first."""
    video = _value_of(path, uid) or {}
    passes = [video.get(name, {}).get("narrations", []) for name in ("narration_pass_1", "narration_pass_2")]
    passes = [narrations for narrations in passes if narrations]
    left_out["narrations of the second narrator, who describes the same video"] += sum(map(len, passes[1:]))
    texts: dict[int, str] = {}
    for narration in passes[0] if passes else []:
        text = narration["narration_text"].strip()
        own = _OWN_ACTION.match(text)
        if "#unsure" in text.lower():
            left_out["narrations marked as unsure"] += 1
        elif own is None:
            left_out["narrations that are not about the camera wearer"] += 1
        elif (start_ns := _stamp_ns(narration["timestamp_sec"])) in texts:
            left_out["narrations at the same time as another"] += 1
        else:
            texts[start_ns] = text[own.end() :].strip().rstrip(".")
    moments = sorted(texts.items())
    longest_ns = round(LONGEST_NARRATION_S * 1e9)
    for (start_ns, text), following in zip_longest(moments, moments[1:]):
        goes_on = following is not None and following[0] - start_ns <= longest_ns
        yield Action(start_ns, None if goes_on else start_ns + longest_ns, text)


def _anticipation_actions(path: Path, uid: str) -> Iterator[Action]:
    """Return verb and noun of each action. Its times are relative to its clip, the clip's to the video."""
    with path.open(encoding="utf-8") as stream:
        clips = json.load(stream)["clips"]
    for clip in clips:
        if clip["video_uid"] == uid:
            offset_s = clip["clip_parent_start_sec"]
            verb, noun = _words(clip["verb"]), _words(clip["noun"])
            yield Action(
                _stamp_ns(offset_s + clip["action_clip_start_sec"]),
                _stamp_ns(offset_s + clip["action_clip_end_sec"]),
                f"{verb} {noun}",
                verb,
                noun,
            )


def _stamp_ns(time_s: float) -> int:
    return UNDATED_START_NS + round(time_s * 1e9)


def _words(name: str) -> str:
    """Return a taxonomy name in words: "put_(place,_leave,_drop)" gives "put"."""
    return _TAXONOMY.sub("", name).replace("_", " ")


def _value_of(path: Path, key: str) -> Any:
    """Return the object that is the value of `key`, anywhere in a JSON file; None if there is none.

    narration.json describes thousands of videos in almost a gigabyte: search it, and parse only this object.
    """
    value_of_key = re.compile(re.escape(json.dumps(key).encode()) + rb"\s*:\s*(?=\{)")
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        match = value_of_key.search(data)
        if match is None:
            return None
        size = 1 << 20
        while True:
            part = data[match.end() : match.end() + size]
            try:
                return json.JSONDecoder().raw_decode(part.decode("utf-8", errors="ignore"))[0]
            except json.JSONDecodeError:
                if len(part) < size:
                    raise
                size *= 4

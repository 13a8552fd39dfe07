"""Actions from subtitles: WebVTT (https://www.w3.org/TR/webvtt1/) and SubRip. Each cue is a label."""

from __future__ import annotations

import html
import io
import re
from collections import Counter
from pathlib import Path
from typing import Any

from gaze_vlm_ros.annotation.formats.text_file import read_text
from gaze_vlm_ros.annotation.formats.times import BadTime, VideoTimes, shortened
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.labels.actions import Action

_SHORT_FRACTION = re.compile(r"(:\d\d[.,])(\d{1,2})(?=\s|$)", re.MULTILINE)


class BadSubtitles(GazeVlmError):
    """The file is not WebVTT or SubRip."""


class WebvttMissing(GazeVlmError):
    """webvtt-py, which reads subtitles, is not installed."""


def read_subtitles(
    path: Path, times: VideoTimes, left_out: Counter[str], form: str, encoding: str = ""
) -> list[Action]:
    """Return the cues of a file as actions. Tags inside a cue are removed, its lines joined by a space.

    form: webvtt or srt.

    Raises FileMissing, WrongEncoding, BadSubtitles, WebvttMissing.
    """
    text = read_text(path, "WebVTT or SubRip subtitles", encoding)
    text = text.lstrip("\ufeff")
    if form == "srt":  # webvtt-py reads 01,5 as 1.005 s: write all three digits
        text = _SHORT_FRACTION.sub(lambda found: found[1] + found[2].ljust(3, "0"), text)
    captions = _captions(text, path, form)
    actions = []
    for number, caption in enumerate(captions, 1):
        said = " ".join(html.unescape(caption.text).split())
        if not said:
            left_out["cues without a text"] += 1
            continue
        try:
            start_ns, end_ns = (times.of_text(at, "clock") for at in (caption.start, caption.end))
        except BadTime as error:
            raise BadSubtitles(f"{path}, cue {number}: its time is {error}") from None
        actions.append(Action(start_ns, end_ns, said))
    return actions


def _captions(text: str, path: Path, form: str) -> list[Any]:
    try:
        import webvtt
        from webvtt.errors import MalformedCaptionError, MalformedFileError
    except ImportError:
        raise WebvttMissing("webvtt-py, which reads subtitles, is not installed: pip install webvtt-py") from None
    name = "WebVTT" if form == "webvtt" else "SubRip"
    try:
        plain = io.StringIO(text.replace("\r\n", "\n"))
        found = webvtt.from_buffer(plain, format="vtt" if form == "webvtt" else "srt", strict=form == "webvtt")
    except (MalformedFileError, MalformedCaptionError, ValueError, IndexError) as error:
        raise BadSubtitles(f"{path} is not a {name} file: {shortened(str(error)) or type(error).__name__}") from None
    captions = list(found.captions)
    if not captions:
        raise BadSubtitles(f"{path} has no cue: expected lines such as 00:00:01.000 --> 00:00:02.500 with text below")
    # webvtt-py silently skips blocks that it cannot parse: report them.
    expected = sum("-->" in line for line in text.splitlines())
    if len(captions) != expected:
        raise BadSubtitles(
            f"{path}: {expected} lines look like the times of a cue, but {len(captions)} cues can be read; write "
            "times as HH:MM:SS.mmm --> HH:MM:SS.mmm (SubRip: with a comma), with an empty line between cues"
        )
    return captions

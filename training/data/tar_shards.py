"""Windows as tar files that the webdataset package reads: pictures, and what is known of them in JSON."""

from __future__ import annotations

import functools
import io
import json
import tarfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gaze_vlm_ros.session.session import Session, load_session
from gaze_vlm_ros.video.images import RGB, encode_jpeg, is_jpeg
from gaze_vlm_ros.windows.cutting import Window
from training.data.conversion import window_pictures
from training.data.gaze_targets import FrameGaze, frame_gaze
from training.data.recordings import Recording
from training.settings import Settings


class TarShardWriter:
    """Numbered tar files NAME-000000.tar, ... in a folder; a new one begins behind `max_bytes`. Holds one sample.

    The same samples give the same bytes: no file has a time or an owner.
    """

    def __init__(self, folder: Path, name: str, max_bytes: int) -> None:
        self._folder, self._name, self._max_bytes = folder, name, max_bytes
        self._tar: tarfile.TarFile | None = None
        self.files: list[str] = []

    def append(self, key: str, files: Mapping[str, bytes]) -> None:
        """One sample. files: content by what follows the key and a dot; the key holds no dot."""
        if self._tar is not None and self._tar.offset >= self._max_bytes:
            self.close()
        if self._tar is None:
            self.files.append(f"{self._name}-{len(self.files):06d}.tar")
            self._tar = tarfile.TarFile(self._folder / self.files[-1], "x", format=tarfile.USTAR_FORMAT)
        for ending, content in files.items():
            info = tarfile.TarInfo(f"{key}.{ending}")
            info.size = len(content)
            self._tar.addfile(info, io.BytesIO(content))
        self._tar.members.clear()  # type: ignore[attr-defined]  # it would keep the name of every file

    def close(self) -> None:
        if self._tar is not None:
            self._tar.close()
            self._tar = None


@dataclass
class PartCounts:
    """What became of one part's windows."""

    windows: int = 0
    with_gaze: int = 0
    dropped: Counter[str] = field(default_factory=Counter)  # by reason


def write_recording(
    recording: Recording,
    number: int,
    part: str,
    settings: Settings,
    shards: TarShardWriter,
    counts: PartCounts,
    progress: Callable[[], object] = lambda: None,
) -> None:
    """Append the windows of one bag, which is `number` of all, and count them. progress: called for each window."""
    session = load_session(recording.path)
    # Windows share frames, and a frame's gaze took several decoded pictures.
    gaze_on = functools.lru_cache(maxsize=4096)(lambda index: frame_gaze(session, index, settings))
    counts.dropped += recording.dropped
    for row, window in enumerate(recording.windows):
        pictures, problem = window_pictures(session, window.frames)
        if problem:
            counts.dropped[problem] += 1
        else:
            gaze = [gaze_on(index) for index in window.frames]
            about = {"part": part, **_about(recording, session, window, gaze)}
            files = {
                f"{frame}.jpg": _jpeg(session, index, picture)
                for frame, (index, picture) in enumerate(zip(window.frames, pictures, strict=True))
            }
            content = json.dumps(about, ensure_ascii=False).encode()
            shards.append(f"{number:05d}_{row:06d}", {**files, "json": content})
            counts.windows += 1
            counts.with_gaze += any(len(points) for points, _ in gaze)
        progress()


def _about(recording: Recording, session: Session, window: Window, gaze: Sequence[FrameGaze]) -> dict[str, Any]:
    stamps_ns = session.frames.stamps_ns
    return {
        "session": recording.name,
        "person": recording.person,
        "task": recording.task,
        "scene": recording.scene,
        "digest": recording.digest,
        "at_ns": window.at_ns,
        "answer": window.answer,
        "answer_start_ns": window.answer_start_ns,
        "lead_s": (window.answer_start_ns - window.at_ns) / 1e9,
        "frame_size": list(recording.frame_size),
        "frames": [
            {
                "stamp_ns": int(stamps_ns[index]),
                "gaze_points": points.tolist(),
                "gaze_weights": weights.tolist(),
            }
            for index, (points, weights) in zip(window.frames, gaze, strict=True)
        ],
    }


def _jpeg(session: Session, index: int, picture: RGB) -> bytes:
    """As it is in the bag where it is JPEG there: no second loss."""
    message = session.frames.message(index)
    return bytes(message.data) if is_jpeg(message) else encode_jpeg(picture)

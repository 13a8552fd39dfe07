"""Export windows as a webdataset: JPEG pictures, and a JSON file with answer and gaze, in tar shards."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gaze_vlm_ros.session.session import Session
from gaze_vlm_ros.video.images import RGB, encode_jpeg, viewable_kind
from gaze_vlm_ros.windows.cutting import NoWindows, Window, reasons_text
from training.data.conversion import window_pictures
from training.data.gaze_targets import FrameGaze, frame_gaze, session_of
from training.data.recordings import Recording
from training.data.split import Split
from training.data.tar_shards import TarShardWriter
from training.settings import SETTINGS_FILE, Settings, save_settings

SUMMARY = "dataset.json"


@dataclass
class PartCounts:
    """Windows of one part of the split."""

    windows: int = 0
    with_gaze: int = 0
    dropped: Counter[str] = field(default_factory=Counter)  # number of windows left out, by reason
    files: list[str] = field(default_factory=list)  # tar shards


def write_dataset(
    out: Path, recordings: Sequence[Recording], split: Split, settings: Settings, shard_bytes: int
) -> dict[str, PartCounts]:
    """Write the windows of `recordings` into the folder `out`, each part of the split into tar shards of its own.

    Also writes settings.yaml and dataset.json. shard_bytes: size after which a new shard begins. Returns the counts of
    each part. Raises NoWindows if the training part has none.
    """
    sessions = {part: chosen for part, chosen in asdict(split).items() if chosen}
    counts = {part: PartCounts() for part in sessions}
    total = sum(len(recording.windows) for recording in recordings)
    with tqdm(total=total, desc="windows", unit="window", mininterval=0.5) as bar:
        save_settings(settings, out / SETTINGS_FILE)
        for part, chosen in sessions.items():
            shards = TarShardWriter(out, part, shard_bytes)
            try:
                for number in chosen:
                    write_recording(recordings[number], number, part, settings, shards, counts[part], bar.update)
            finally:
                shards.close()
            counts[part].files = shards.files
        if not counts["training"].windows:
            dropped = reasons_text(counts["training"].dropped) or "no action in any bag"
            raise NoWindows(f"the training sessions give no window: {dropped}")
        summary = {part: vars(found) for part, found in counts.items()}
        (out / SUMMARY).write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return counts


def write_recording(
    recording: Recording,
    number: int,
    part: str,
    settings: Settings,
    shards: TarShardWriter,
    counts: PartCounts,
    progress: Callable[[], object] = lambda: None,
) -> None:
    """Append the windows of one bag to `shards`, and count them.

    number: place of the bag among all, part of the samples' keys. progress: called after each window.
    """
    session = session_of(recording.path, settings)
    # Keep the gaze of recent frames: windows share frames, and carrying gaze to one decodes several pictures.
    gaze_on = functools.lru_cache(maxsize=4096)(lambda index: frame_gaze(session, index, settings))
    counts.dropped += recording.dropped
    for row, window in enumerate(recording.windows):
        pictures, problem = window_pictures(session, window.frames)
        if problem:
            counts.dropped[problem] += 1
        else:
            gaze = [gaze_on(index) for index in window.frames]
            description = {"part": part, **_description(recording, session, window, gaze)}
            files = {
                f"{frame}.jpg": _jpeg(session, index, picture)
                for frame, (index, picture) in enumerate(zip(window.frames, pictures, strict=True))
            }
            content = json.dumps(description, ensure_ascii=False).encode()
            shards.append(f"{number:05d}_{row:06d}", {**files, "json": content})
            counts.windows += 1
            counts.with_gaze += any(len(points) for points, _ in gaze)
        progress()


def _description(recording: Recording, session: Session, window: Window, gaze: Sequence[FrameGaze]) -> dict[str, Any]:
    """Return the content of a sample's JSON file. Gaze points are px on their frame."""
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
        "lead_s": window.lead_s,
        "known_s": window.known_s,
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
    """Return the bag's own bytes if they are JPEG, to lose nothing by encoding again; else encode the picture."""
    message = session.frames.message(index)
    return bytes(message.data) if viewable_kind(message) == "jpeg" else encode_jpeg(picture)

"""From what stands on the command line to what training has to know of each bag."""

from __future__ import annotations

import functools
import glob
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.gaze.summary import GazeSummary, gaze_summary
from gaze_vlm_ros.recorder.episodes import is_discarded
from gaze_vlm_ros.session.session import LabelTrack, load_session, require_labels, session_digest
from gaze_vlm_ros.video.images import DamagedImage
from gaze_vlm_ros.windows.cutting import Window, cut_windows
from training.settings import Settings

# Runs a function over items, perhaps several at a time, and yields the results in the items' order.
Mapper = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]


class NoSuchBag(GazeVlmError):
    """A path on the command line leads to no bag."""


class MixedSizes(GazeVlmError):
    """Sessions whose frames differ in size."""


@dataclass(frozen=True)
class Recording:
    """What training has to know of one bag; a few hundred bytes a window. Pictures and gaze samples stay in the bag."""

    path: Path
    name: str
    person: str
    task: str
    scene: str
    digest: str  # see session_digest
    frame_size: tuple[int, int]  # (width, height) px; (0, 0) where every frame is damaged
    frames: int
    span_s: float  # from the first frame to the last
    labels: LabelTrack
    gaze: GazeSummary | None  # None: the bag has none
    windows: tuple[Window, ...]  # in time order
    dropped: Counter[str]  # moments that made no window, by reason


def find_bags(arguments: Sequence[str | Path]) -> list[Path]:
    """Bags that the arguments name: bag folders, .mcap files, folders of bags at any depth, or globs of these.

    Sorted, each once. Discarded episodes are passed over unless they are named themselves.
    Raises NoSuchBag for an argument that leads to none.
    """
    found: dict[Path, Path] = {}  # resolved -> as given
    for argument in arguments:
        matches = [Path(argument)] if Path(argument).exists() else [Path(m) for m in sorted(glob.glob(str(argument)))]
        if not matches:
            raise NoSuchBag(f"no such bag: {argument}")
        bags = [bag for match in matches for bag in _bags_under(match)]
        if not bags:
            raise NoSuchBag(f"no bag in {argument}: expected a .mcap file, a bag folder, or a folder of these")
        found.update({bag.resolve(): bag for bag in bags})
    return [found[resolved] for resolved in sorted(found)]


def _bags_under(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    # A bag's folder holds its .mcap file, or files, directly.
    bags = {file.parent for file in path.rglob("*.mcap")}
    return sorted(bag for bag in bags if bag == path or not is_discarded(bag))


def load_recordings(bags: Sequence[Path], settings: Settings, mapper: Mapper = map) -> list[Recording]:
    """What is in `bags`, and the windows that `settings` cut from them; one bag at a time is open.

    Raises what load_session and require_labels raise, MixedSizes.
    """
    recordings = list(mapper(functools.partial(load_recording, settings=settings), bags))
    by_size = {recording.frame_size: recording for recording in reversed(recordings) if any(recording.frame_size)}
    if len(by_size) > 1:
        first, second = (by_size[size] for size in sorted(by_size)[:2])
        raise MixedSizes(
            f"frames differ in size: {first.path} has {_size(first)}, {second.path} has {_size(second)}; "
            f"use bags of one camera setting"
        )
    return recordings


def load_recording(bag: Path | str, settings: Settings) -> Recording:
    """Raises what load_session and require_labels raise."""
    session = load_session(bag)
    labels = require_labels(session)
    windows, counts = cut_windows(0, session, settings)
    try:
        size = session.frames.size
    except DamagedImage:  # one bad bag among many
        counts.dropped["with a damaged frame"] += len(windows)
        size, windows = (0, 0), []
    stamps_ns = session.frames.stamps_ns
    return Recording(
        path=Path(bag),
        name=session.name,
        person=session.person,
        task=session.task,
        scene=session.scene,
        digest=session_digest(session),
        frame_size=size,
        frames=len(stamps_ns),
        span_s=float(stamps_ns[-1] - stamps_ns[0]) / 1e9,
        labels=labels,
        gaze=None if session.gaze is None else gaze_summary(session.gaze, size, settings.gaze_min_confidence),
        windows=tuple(windows),
        dropped=counts.dropped,
    )


def _size(recording: Recording) -> str:
    return "x".join(map(str, recording.frame_size))


def data_hash(recordings: Sequence[Recording]) -> str:
    """Names the recordings that a fit used, see `hash_of`."""
    return hash_of(recording.digest for recording in recordings)


def hash_of(digests: Iterable[str]) -> str:
    """16 hex digits that name a set of recordings, of any order."""
    return hashlib.sha256(" ".join(sorted(digests)).encode()).hexdigest()[:16]


def bag_digest(bag: Path) -> str:
    """See session_digest. Raises what load_session raises."""
    return session_digest(load_session(bag))

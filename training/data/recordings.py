"""Find the bags on a command line, and read what training has to know about each."""

from __future__ import annotations

import functools
import glob
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaze_vlm_ros.bags.files import is_companion
from gaze_vlm_ros.bags.role_options import Roles
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.gaze.summary import GazeSummary, gaze_summary
from gaze_vlm_ros.recorder.episodes import is_discarded
from gaze_vlm_ros.session.session import LabelTrack, load_session, require_labels, session_digest
from gaze_vlm_ros.video.images import DamagedImage
from gaze_vlm_ros.windows.cutting import Window, cut_windows
from training.settings import Settings

# A function like `map`: may run several items at a time, yields results in their order.
Mapper = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]


class NoSuchBag(GazeVlmError):
    """A path on the command line does not lead to a bag."""


class MixedSizes(GazeVlmError):
    """The sessions have frames of different sizes."""


@dataclass(frozen=True)
class Recording:
    """What training has to know about one bag, a few hundred bytes per window. Pictures and gaze stay in the bag."""

    path: Path
    roles: Roles  # topics of camera and gaze, as the settings say
    name: str
    person: str
    task: str
    scene: str
    digest: str  # see session_digest
    frame_size: tuple[int, int]  # (width, height) px; (0, 0) if every frame is damaged
    frames: int
    span_s: float  # from the first frame to the last
    labels: LabelTrack
    gaze: GazeSummary | None  # None = no gaze in the bag
    windows: tuple[Window, ...]  # in time order
    dropped: Counter[str]  # number of moments without a window, by reason


def find_bags(arguments: Sequence[str | Path]) -> list[Path]:
    """Return the bags that the arguments name, sorted, each once.

    arguments: bag folders, .mcap files, folders of bags at any depth, or globs of these. Discarded episodes are
    skipped unless named directly. Raises NoSuchBag for an argument that leads to no bag.
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
    bags = {file.parent for file in path.rglob("*.mcap") if not is_companion(file)}
    return sorted(bag for bag in bags if bag == path or not is_discarded(bag))


def load_recordings(bags: Sequence[Path], settings: Settings, mapper: Mapper = map) -> list[Recording]:
    """Read `bags` and cut their windows by `settings`; only one bag per process is open at a time.

    Raises MixedSizes, and what load_session and require_labels raise.
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
    """Read one bag and cut its windows. Raises what load_session and require_labels raise."""
    session = load_session(bag, roles=settings.roles)
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
        roles=settings.roles,
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
    """Return a hash of the recordings that a fit used, see `hash_of`."""
    return hash_of(recording.digest for recording in recordings)


def hash_of(digests: Iterable[str]) -> str:
    """Return 16 hex digits that identify a set of digests, whatever their order."""
    return hashlib.sha256(" ".join(sorted(digests)).encode()).hexdigest()[:16]


def bag_digest(bag: Path, roles: Roles) -> str:
    """Return the session_digest of a bag. Raises what load_session raises."""
    return session_digest(load_session(bag, roles=roles))

"""From what stands on the command line to loaded sessions."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gaze_vlm_ros.episodes import is_discarded
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.session import Session, load_session, require_labels

DIGESTED_FRAMES = 8  # evenly spread: reading all of an hour's would take longer than training's first steps


class NoSuchBag(GazeVlmError):
    """A path on the command line leads to no bag."""


class MixedSizes(GazeVlmError):
    """Sessions whose frames differ in size."""


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


def load_sessions(bags: Sequence[Path]) -> list[Session]:
    """The sessions of `bags`, each with labels. Raises what load_session and require_labels raise, MixedSizes."""
    sessions = [load_session(bag) for bag in bags]
    for session in sessions:
        require_labels(session)
    sizes = {session.frames.size for session in sessions}
    if len(sizes) > 1:
        first, second = (next(s for s in sessions if s.frames.size == size) for size in sorted(sizes)[:2])
        raise MixedSizes(
            f"frames differ in size: {first.path} has {_size(first)}, {second.path} has {_size(second)}; "
            f"use bags of one camera setting"
        )
    return sessions


def _size(session: Session) -> str:
    return "x".join(map(str, session.frames.size))


def session_digest(session: Session) -> str:
    """16 hex digits that name the recording by its content; the same wherever the bag lies.

    Stamps, labels and gaze, and of the pictures some: a copy that was encoded anew has another name.
    """
    digest = hashlib.sha256()
    digest.update(np.ascontiguousarray(session.frames.stamps_ns, dtype=np.int64).tobytes())
    for index in np.unique(np.linspace(0, len(session.frames) - 1, DIGESTED_FRAMES).round().astype(int)):
        digest.update(bytes(session.frames.message(int(index)).data))
    if session.labels is not None:
        digest.update(np.ascontiguousarray(session.labels.starts_ns, dtype=np.int64).tobytes())
        digest.update("\n".join(session.labels.texts).encode())
    if session.gaze is not None:
        digest.update(np.ascontiguousarray(session.gaze.stamps_ns, dtype=np.int64).tobytes())
        digest.update(np.ascontiguousarray(session.gaze.xy, dtype=np.float64).tobytes())
    return digest.hexdigest()[:16]

"""Divide a data set: folds of persons, and published lists of actions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.importers.imported_session import UNDATED_START_NS
from training.data.action_split import ActionSplit
from training.data.recordings import Recording

# A line of EGTEA Gaze+'s action_annotation/*_split*.txt begins with the name of a clip:
# <session>-<start, ms>-<end, ms>-F<first frame>-F<last frame>, then the numbers of action, verb and nouns.
_CLIP = re.compile(r"(?P<session>.+?)-(?P<start_ms>\d+)-(?P<end_ms>\d+)-F\d+-F\d+")


class CannotDivide(GazeVlmError):
    """The data set cannot be divided as the recipe says."""


def person_folds(recordings: Sequence[Recording], folds: int, seed: int = 0) -> list[list[Recording]]:
    """Deal persons out to folds whose numbers of windows are as equal as whole persons allow.

    The largest persons first, each to the smallest fold; the seed orders persons of equal size. Raises CannotDivide.
    """
    of_person: dict[str, list[Recording]] = {}
    for recording in recordings:
        if not recording.person:
            raise CannotDivide(f"{recording.path} names no person, and folds are of persons; import it with --person")
        of_person.setdefault(recording.person, []).append(recording)
    if len(of_person) < folds:
        raise CannotDivide(f"{folds} folds need as many persons, and there are {len(of_person)}; lower folds")
    order = [sorted(of_person)[place] for place in np.random.default_rng(seed).permutation(len(of_person))]
    size = {person: sum(len(recording.windows) for recording in own) for person, own in of_person.items()}
    dealt: list[list[Recording]] = [[] for _ in range(folds)]
    sizes = [0] * folds
    for person in sorted(order, key=lambda person: -size[person]):
        empty = [place for place in range(folds) if not dealt[place]]
        smallest = empty[0] if empty else int(np.argmin(sizes))
        dealt[smallest] += of_person[person]
        sizes[smallest] += size[person]
    return dealt


def published_split(train_list: Path, test_list: Path, recordings: Sequence[Recording]) -> ActionSplit:
    """Return the parts of two published lists of actions, as EGTEA Gaze+ has them, by the stamps of our labels.

    An action of a list is the label whose start differs by at most 1 ms, since lists are in ms. Sessions that are not
    among `recordings` are left out; raises CannotDivide where an action of the others has no label.
    """
    starts_ns = {recording.name: [int(start) for start in recording.labels.starts_ns] for recording in recordings}
    parts: dict[str, dict[int, str]] = {name: {} for name in starts_ns}
    for part, path in (("train", train_list), ("test", test_list)):
        for number, session, start_ms in _listed(path):
            if session not in starts_ns:
                continue
            at_ns = UNDATED_START_NS + start_ms * 1_000_000
            near = [start for start in starts_ns[session] if abs(start - at_ns) <= 1_000_000]
            if not near:
                raise CannotDivide(
                    f"{path}, line {number}: session {session} has no label at {start_ms / 1e3:g} s; use annotations "
                    "and lists of one version of the data set"
                )
            if parts[session].get(near[0], part) != part:
                raise CannotDivide(f"{path}, line {number}: the action is in {train_list.name} too")
            parts[session][near[0]] = part
    split = ActionSplit(f"{train_list.name} and {test_list.name}", parts)
    if not split.count("train") or not split.count("test"):
        raise CannotDivide(f"{train_list} and {test_list} name no action of the imported sessions")
    return split


def _listed(path: Path) -> list[tuple[int, str, int]]:
    """Return (line number, session, start in ms) of each action in a list. Raises CannotDivide."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise CannotDivide(f"no list {path}: {error.strerror}; the data set's action annotations have it") from None
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        match = _CLIP.fullmatch(line.split()[0])
        if match is None:
            raise CannotDivide(
                f"{path}, line {number}: {line.split()[0]!r}, expected <session>-<start ms>-<end ms>-F<frame>-F<frame>"
            )
        found.append((number, match["session"], int(match["start_ms"])))
    return found

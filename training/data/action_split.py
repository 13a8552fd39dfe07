"""Divide single actions into parts, as the published splits of some data sets do, though sessions are in both parts.

Persons and sessions of the test part are then in training too: figures compare with published ones by the same split,
and say nothing about new persons.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gaze_vlm_ros.errors import GazeVlmError
from training.data.recordings import Recording

OTHER_PART = "of actions in another part of split_file"  # reason in Recording.dropped


class BadSplitFile(GazeVlmError):
    """A file of divided actions cannot be used."""


@dataclass(frozen=True)
class ActionSplit:
    """The part of each action: session -> stamp of the action's label, ns -> "train" or "test"."""

    source: str  # where the division comes from
    parts: Mapping[str, Mapping[int, str]]

    def count(self, part: str) -> int:
        """Return the number of actions in a part."""
        return sum(own == part for session in self.parts.values() for own in session.values())

    def shared_sessions(self) -> list[str]:
        """Return the sessions with actions in both parts."""
        return sorted(name for name, actions in self.parts.items() if len(set(actions.values())) > 1)

    def leak(self, recordings: Sequence[Recording]) -> str:
        """Return a warning that says which test sessions and persons are in training too."""
        person_of = {recording.name: recording.person or recording.name for recording in recordings}
        in_part = {
            part: {name for name, actions in self.parts.items() if part in actions.values()}
            for part in ("train", "test")
        }
        persons = {part: {person_of.get(name, name) for name in names} for part, names in in_part.items()}
        return (
            f"{self.source}: {len(self.shared_sessions())} of {len(in_part['test'])} test sessions and "
            f"{len(persons['test'] & persons['train'])} of {len(persons['test'])} test persons are in training too; "
            "such figures compare with others by the same split, and say nothing about new persons"
        )


def read_action_split(path: Path) -> ActionSplit:
    """Read a file that write_action_split wrote. Raises BadSplitFile."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        parts = {
            str(session): {int(stamp): str(part) for stamp, part in actions.items()}
            for session, actions in content["actions"].items()
        }
        source = str(content["source"])
    except OSError as error:
        raise BadSplitFile(
            f"no split_file {path}: {error.strerror}; give the file that training/recipe.py wrote"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadSplitFile(
            f'{path} is no split file ({" ".join(str(error).split())}); expected JSON: {{"source": text, "actions": '
            '{session: {label stamp in ns: "train" or "test"}}}'
        ) from None
    if wrong := sorted({part for actions in parts.values() for part in actions.values()} - {"train", "test"}):
        raise BadSplitFile(f"{path} has part {wrong[0]!r}, expected train or test")
    return ActionSplit(source, parts)


def write_action_split(path: Path, split: ActionSplit) -> None:
    """Write a split for the setting split_file."""
    actions = {
        session: {str(stamp): part for stamp, part in sorted(own.items())} for session, own in split.parts.items()
    }
    path.write_text(json.dumps({"source": split.source, "actions": actions}, indent=1) + "\n", encoding="utf-8")


def only_part(recordings: Sequence[Recording], split: ActionSplit, part: str) -> list[Recording]:
    """Return the recordings with only the windows whose answer is an action of that part.

    Raises BadSplitFile for a session that the file does not know.
    """
    if unknown := [recording.name for recording in recordings if recording.name not in split.parts]:
        raise BadSplitFile(
            f"the split file knows no session {unknown[0]!r}, only {', '.join(sorted(split.parts)[:3])} and so on; "
            "leave that bag out"
        )
    found = []
    for recording in recordings:
        part_of = split.parts[recording.name]
        windows = tuple(window for window in recording.windows if part_of.get(window.answer_start_ns) == part)
        left_out = Counter({OTHER_PART: len(recording.windows) - len(windows)})
        found.append(replace(recording, windows=windows, dropped=recording.dropped + left_out))
    return found


def part_of_split(recordings: Sequence[Recording], split_file: str, part: str) -> tuple[list[Recording], str]:
    """Return (the recordings with only that part's windows, what the split leaks), by the setting split_file.

    Without a file ("") the recordings stay as they are, and nothing leaks. Raises BadSplitFile.
    """
    if not split_file:
        return list(recordings), ""
    split = read_action_split(Path(split_file))
    return only_part(recordings, split, part), split.leak(recordings)

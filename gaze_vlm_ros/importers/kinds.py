"""Formats that can be imported: what each takes, and the function that reads it. Imports no reader."""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """One format."""

    source: str  # what SOURCE is
    options: tuple[str, ...]  # of `import_recording`; any other is refused
    reader: str  # module of this room, and function, which takes SOURCE and the options


KINDS = {
    "neon": Kind("folder", ("events_as_labels",), "neon.read_neon"),
    "neon-cloud": Kind("folder", ("events_as_labels", "cut"), "neon_cloud.read_neon_cloud"),
    "ego4d": Kind("video", ("gaze", "labels", "cut"), "ego4d.read_ego4d"),
    "egtea": Kind("video", ("gaze", "labels", "cut"), "egtea.read_egtea"),
    "aria": Kind("folder or .vrs file", ("gaze", "distance_m"), "aria.read_aria"),
    "tobii-g3": Kind("folder", ("cut",), "tobii_g3.read_tobii_g3"),
    "pupil": Kind("folder", ("cut",), "pupil.read_pupil"),
    "generic": Kind("video", ("mapping", "gaze", "cut"), "generic.read_generic"),
    "holoassist": Kind("folder", ("labels", "cut", "distance_m"), "holoassist.read_holoassist"),
    "egoexolearn": Kind("video", ("gaze", "labels", "cut"), "egoexolearn.read_egoexolearn"),
    "lerobot": Kind("folder", ("episode",), "lerobot.read_lerobot"),
    "egoexo4d": Kind("folder", ("gaze", "cut"), "egoexo4d.read_egoexo4d"),
}


def kinds_with(option: str) -> str:
    """Names of the formats that take an option, for its help."""
    return ", ".join(name for name, kind in KINDS.items() if option in kind.options)

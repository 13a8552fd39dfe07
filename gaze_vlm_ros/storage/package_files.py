"""Where the package's own data files are: beside the code in a checkout, under share/ where it is installed."""

import os
import sys
from pathlib import Path

from gaze_vlm_ros.errors import GazeVlmError


class SharedFileMissing(GazeVlmError):
    """A file that the package installs is not where it belongs."""


def shared_file(relative: str) -> Path:
    """Absolute path of a file or folder of the package, e.g. "config/fastdds.xml".

    Looked for in the checkout that holds this module, then in share/gaze_vlm_ros of every AMENT_PREFIX_PATH entry and
    of the interpreter's prefix. Raises SharedFileMissing naming all the places.
    """
    prefixes = [*filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)), sys.prefix]
    places = [Path(__file__).resolve().parents[2] / relative]
    places += [Path(prefix, "share", "gaze_vlm_ros", relative) for prefix in prefixes]
    for place in places:
        if place.exists():
            return place
    tried = ", ".join(map(str, places))
    raise SharedFileMissing(f"{relative} of gaze_vlm_ros is in none of {tried}; reinstall the package")

"""The package's own data files: beside the code in a checkout, under share/ in an installation."""

import os
import sys
from pathlib import Path

from gaze_vlm_ros.errors import GazeVlmError


class SharedFileMissing(GazeVlmError):
    """A file of the package is not installed."""


def shared_file(relative: str) -> Path:
    """Return the absolute path of a file or folder of the package, such as "config/fastdds.xml".

    Searches the checkout that holds this module, then share/gaze_vlm_ros of every entry of AMENT_PREFIX_PATH and of the
    interpreter's prefix. Raises SharedFileMissing, which names all these places.
    """
    prefixes = [*filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)), sys.prefix]
    places = [Path(__file__).resolve().parents[2] / relative]
    places += [Path(prefix, "share", "gaze_vlm_ros", relative) for prefix in prefixes]
    for place in places:
        if place.exists():
            return place
    tried = ", ".join(map(str, places))
    raise SharedFileMissing(f"{relative} of gaze_vlm_ros is in none of {tried}; reinstall the package")

"""Read a JSON file of a recording, with one line where it is damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gaze_vlm_ros.errors import GazeVlmError


def read_json(path: Path, error: type[GazeVlmError], advice: str) -> Any:
    """Return the content of a JSON file. Raises `error`, whose line ends with `advice`, where it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise error(f"{path} cannot be read as JSON ({problem}); {advice}") from None

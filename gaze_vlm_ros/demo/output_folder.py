"""The demo's output folder: emptied by every run, and never a folder that no demo wrote."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gaze_vlm_ros.errors import GazeVlmError

MARKER = "demo_settings.json"


class NotOurs(GazeVlmError):
    """The folder holds something that no demo wrote."""


def fresh_folder(out: Path, settings: Mapping[str, Any]) -> None:
    """Create `out` with nothing but the settings. An earlier demo there is removed; anything else raises NotOurs."""
    if out.exists():
        if not out.is_dir() or (any(out.iterdir()) and not (out / MARKER).is_file()):
            raise NotOurs(f"{out} exists, and no demo wrote it; give another --out")
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / MARKER).write_text(json.dumps(settings, indent=1) + "\n")

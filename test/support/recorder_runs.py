"""What a running recorder prints."""

from __future__ import annotations

import re
import subprocess


def reported_written(line: str) -> int:
    """Gaze samples that the recorder's live line calls written, 0 where it has none yet."""
    match = re.search(r"/gaze (\d+) written", line)
    return int(match[1]) if match else 0


def wait_for_gaze(recorder: subprocess.Popen[str], count: int) -> str:
    """Read what the recorder prints until it reports over `count` samples of gaze as written; return it."""
    output = ""
    for line in recorder.stdout or ():
        output += line
        if reported_written(line) > count:
            return output
    raise AssertionError(f"the recorder ended before it had {count} samples of gaze: {output}")

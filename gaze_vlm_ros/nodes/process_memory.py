"""Memory use of this process."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def memory_mb() -> dict[str, float]:
    """Resident memory ("CPU") and torch's memory on the GPU ("GPU"), MB; unknown entries are left out."""
    found: dict[str, float] = {}
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        found["CPU"] = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, ValueError, IndexError):
        pass  # not Linux
    # Do not import torch for this; while another thread imports it, it has no cuda yet.
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is not None and cuda.is_available():
        found["GPU"] = cuda.memory_allocated() / 1e6
    return found

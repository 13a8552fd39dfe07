"""Memory of the device that trains: its size, and the peak of a process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch


def total_bytes(device: str) -> int:
    """Return the memory of `device` in bytes; main memory for the CPU."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_properties(device).total_memory
    return int(psutil.virtual_memory().total)


@contextmanager
def peak_bytes(device: str) -> Iterator[list[int]]:
    """Measure the peak memory of this process on `device` within the block, in bytes.

    Yields a list that holds the one figure after the block. Includes what was allocated before the block.
    """
    found: list[int] = []
    cuda = device.startswith("cuda")
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # reset the peak, proc(5)
    yield found
    found.append(torch.cuda.max_memory_allocated(device) if cuda else _peak_resident_bytes())


def _peak_resident_bytes() -> int:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    except (OSError, StopIteration):  # not Linux
        return int(psutil.Process().memory_info().rss)

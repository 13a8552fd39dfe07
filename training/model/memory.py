"""How much memory training takes, and one line where there is not enough."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.memory import out_of_memory_reason
from training.settings import Settings


class OutOfMemory(GazeVlmError):
    """The model with its batch does not fit."""


@contextmanager
def report_out_of_memory(settings: Settings, device: str) -> Iterator[None]:
    """Raises OutOfMemory in place of what torch raises."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not (reason := out_of_memory_reason(error)):
            raise
        raise OutOfMemory(out_of_memory_text(settings, device, reason)) from None


def out_of_memory_text(settings: Settings, device: str, how: str) -> str:
    """What to lower, the cheapest first."""
    advice = []
    if settings.batch_size > 1:
        half = max(1, settings.batch_size // 2)
        times = -(-settings.batch_size * settings.accumulate // half)
        advice.append(f"batch_size={half} with accumulate={times} (the result stays the same)")
    if not settings.gradient_checkpointing:
        advice.append("gradient_checkpointing=true")
    if settings.dtype == "float32" and device != "cpu":
        advice.append("dtype=bfloat16")
    if settings.train == "full":
        advice.append("train=lora")
    if settings.frames > 1:
        advice.append(f"frames={settings.frames - 1}")
    advice.append("a smaller model")
    return f"out of memory on {device} ({how}); try --set {', or '.join(advice)}"


def total_bytes(device: str) -> int:
    """Memory of the device."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_properties(device).total_memory
    return int(psutil.virtual_memory().total)


@contextmanager
def peak_bytes(device: str) -> Iterator[list[int]]:
    """The list holds one number afterwards: the most that this process held on `device` in between."""
    found: list[int] = []
    cuda = device.startswith("cuda")
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew, proc(5)
    yield found
    found.append(torch.cuda.max_memory_allocated(device) if cuda else _peak_resident_bytes())


def _peak_resident_bytes() -> int:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    except (OSError, StopIteration):  # not Linux
        return int(psutil.Process().memory_info().rss)

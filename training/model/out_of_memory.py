"""Report in one line that a fit does not fit into memory, and which settings to lower."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.vlm.memory import out_of_memory_reason
from training.settings import Settings


class OutOfMemory(GazeVlmError):
    """The model with its batch does not fit into memory."""


@contextmanager
def report_out_of_memory(settings: Settings, device: str) -> Iterator[None]:
    """Raise OutOfMemory in place of the allocation error that torch or Python raises within the block."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not (reason := out_of_memory_reason(error)):
            raise
        raise OutOfMemory(out_of_memory_text(settings, device, reason)) from None


def out_of_memory_text(settings: Settings, device: str, reason: str) -> str:
    """Return the message of OutOfMemory: reason, then the settings to change, the least costly first."""
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
    return f"out of memory on {device} ({reason}); try --set {', or '.join(advice)}"

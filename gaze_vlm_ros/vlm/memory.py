"""Memory of models: recognize that an allocator had none left, and free what a dropped model holds."""

from __future__ import annotations

import gc

import torch

_CPU_MARKS = ("not enough memory", "can't allocate memory", "out of memory")  # in the texts of torch's RuntimeError


def out_of_memory_reason(error: BaseException) -> str:
    """Return the allocator's message in one line; empty where `error` is of another kind."""
    if isinstance(error, torch.OutOfMemoryError):
        return str(error).split(". ")[0]
    if isinstance(error, MemoryError):
        return "the operating system gives no more"
    if isinstance(error, RuntimeError) and any(mark in str(error) for mark in _CPU_MARKS):
        return str(error).splitlines()[0]
    return ""


def free_model_memory() -> None:
    """Free what a dropped model still holds: its reference cycles, and the memory that torch keeps on the GPU."""
    gc.collect()  # modules of a model refer to each other
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

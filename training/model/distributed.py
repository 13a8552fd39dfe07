"""Several processes that fit one model together, one per GPU, on one machine or more. Usually there is only one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, InitProcessGroupKwargs

from gaze_vlm_ros.errors import GazeVlmError
from training.model.device import resolve_device
from training.settings import Settings

# The other processes wait while the first one converts bags; torch's default would give up after 10 minutes.
_COLLECTIVE_TIMEOUT = timedelta(hours=12)


class CannotShare(GazeVlmError):
    """These processes cannot fit one model together."""


def join_processes(settings: Settings) -> tuple[Accelerator, str]:
    """Join the processes that torchrun or `accelerate launch` started; return (accelerator, device).

    Mixed precision stays off in the accelerator: settings.dtype decides. Raises NoDevice, CannotShare.
    """
    device = resolve_device(settings.device)
    accelerator = Accelerator(
        cpu=device == "cpu",
        mixed_precision="no",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=_COLLECTIVE_TIMEOUT)],
    )
    if accelerator.distributed_type == DistributedType.FSDP and not accelerator.is_fsdp2:
        raise CannotShare(
            "this accelerate configuration asks for FSDP 1, in which attention cannot be read; set fsdp_version: 2"
        )
    supported = (
        DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU, DistributedType.FSDP
    )  # fmt: skip
    if accelerator.distributed_type not in supported:
        raise CannotShare(
            f"the accelerate configuration asks for {accelerator.distributed_type.value}, expected DDP or FSDP 2"
        )
    return accelerator, str(accelerator.device) if accelerator.num_processes > 1 else device


def leave_processes(accelerator: Accelerator) -> None:
    """End what the processes share, after their last collective operation; in one process, do nothing.

    Each process must: one that ends with its group open can abort while Python shuts down, which ends the others.
    """
    accelerator.end_training()


def is_sharded(accelerator: Accelerator) -> bool:
    """Return whether each process holds only a part of the weights (FSDP)."""
    return bool(accelerator.distributed_type == DistributedType.FSDP)


def gather_to_cpu(tensor: torch.Tensor) -> torch.Tensor:
    """Return a copy of the full tensor on the CPU. A collective operation if the tensor is sharded."""
    gathered: Any = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    copied: torch.Tensor = gathered.detach().to("cpu", copy=True)
    return copied


def shard_like(value: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """Return the full tensor `value` on the device of `tensor`, and sharded as it is."""
    value = value.to(tensor.device)
    if not hasattr(tensor, "full_tensor") or not value.ndim:
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(tensor, DTensor)
    return distribute_tensor(value, tensor.device_mesh, tensor.placements)

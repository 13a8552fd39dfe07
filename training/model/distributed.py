"""The processes that fit one model together: one a GPU, on one machine or many. One process alone is the usual case."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, InitProcessGroupKwargs

from gaze_vlm_ros.errors import GazeVlmError
from training.model.trainable import resolve_device
from training.settings import Settings

# While the first process converts bags, the others wait for it; by default they would give up after 10 minutes.
_PATIENCE = timedelta(hours=12)


class CannotShare(GazeVlmError):
    """These processes cannot fit one model together."""


def join(settings: Settings) -> tuple[Accelerator, str]:
    """(accelerator, device). Under torchrun or `accelerate launch` one of many; the launcher's word holds.

    The optimizer's precision is settings.dtype's business, so the accelerator mixes none. Raises NoDevice, CannotShare.
    """
    device = resolve_device(settings.device)
    accelerator = Accelerator(
        cpu=device == "cpu", mixed_precision="no", kwargs_handlers=[InitProcessGroupKwargs(timeout=_PATIENCE)]
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


def is_sharded(accelerator: Accelerator) -> bool:
    """Does each process hold a part of the weights alone (FSDP)?"""
    return bool(accelerator.distributed_type == DistributedType.FSDP)


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A copy on the CPU; of a sharded tensor all of it, for which every process must ask."""
    gathered: Any = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    copied: torch.Tensor = gathered.detach().to("cpu", copy=True)
    return copied


def like(value: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """`value`, which is whole, on the device of `tensor` and sharded as it is."""
    value = value.to(tensor.device)
    if not hasattr(tensor, "full_tensor") or not value.ndim:
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(tensor, DTensor)
    return distribute_tensor(value, tensor.device_mesh, tensor.placements)

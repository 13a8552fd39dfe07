"""Preflight: run two batches before the first step, and report in one line what cannot work before training starts."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from training.model.device_memory import peak_bytes, total_bytes
from training.model.distributed import gather_to_cpu
from training.model.forward import answer_losses
from training.model.out_of_memory import OutOfMemory, out_of_memory_text
from training.run.job import Job
from training.run.loop import CHECKED_WINDOWS
from training.run.saved_state import random_state, set_random_state
from training.settings import Settings

GIB = 2**30


class NoRegularizerGradient(GazeVlmError):
    """The regularizer has no gradient with respect to the trained weights."""


class DiskTooSmall(GazeVlmError):
    """The output does not fit on the disk."""


@dataclass(frozen=True)
class Preflight:
    """Measurements of the two batches."""

    lm: float  # language loss, nats
    kl: float  # nats; 0 without gaze
    kl_gradient_share: float  # norm of λ times the regularizer's gradient, over that of the language loss's gradient
    without_gradient: tuple[str, ...]  # weights that no loss depends on
    peak_bytes: int  # estimate for a step, with the optimizer's moments
    total_bytes: int  # memory of the device
    seconds: float  # estimate for all remaining steps

    def text(self, steps: int) -> str:
        """Return the report line. steps: number of remaining steps."""
        return (
            f"preflight: language loss {self.lm:.3f}, KL {self.kl:.2f}, whose gradient is "
            f"{self.kl_gradient_share:.2g} of the language loss's at full λ; memory about "
            f"{self.peak_bytes / GIB:.1f} of {self.total_bytes / GIB:.1f} GiB; {steps} steps in about "
            f"{duration_text(self.seconds)}"
        )


def run_preflight(model: Any, weights: Mapping[str, torch.nn.Parameter], job: Job, first_step: int = 0) -> Preflight:
    """Run two batches forward and backward; leave weights and random generators as they were.

    The first batch has gaze and measures the regularizer's gradient; the second has the longest answers and measures
    memory and time. Raises NoRegularizerGradient, OutOfMemory.
    """
    random = random_state()
    try:
        return _measure(model, weights, job, first_step)
    finally:
        set_random_state(random)
        model.zero_grad(set_to_none=True)


def weight_for_ratio(preflight: Preflight, settings: Settings) -> float:
    """Return λ with which the regularizer's gradient is settings.kl_ratio times the language loss's."""
    return settings.kl_weight * settings.kl_ratio / preflight.kl_gradient_share


def _measure(model: Any, weights: Mapping[str, torch.nn.Parameter], job: Job, first_step: int) -> Preflight:
    settings, data, training = job.settings, job.data, job.parts.training
    supervised = settings.gaze != "none" and settings.kl_weight > 0
    with_gaze = training[data.has_gaze[job.gaze_of[training]]]
    model.train()
    lm, kl = answer_losses(
        model, _batch(with_gaze if supervised else training, job), settings, with_attention=supervised
    )
    losses = (lm.item(), kl.item())
    kl_norm = 0.0
    if supervised:
        if kl.requires_grad:
            job.accelerator.backward(kl)
        kl_norm = _norm(weights)
        model.zero_grad(set_to_none=True)
        if not kl_norm and losses[1] == 0:
            raise NoRegularizerGradient(
                "in the layers of kl_layers, no answer sees a token that was gazed at (a sliding window is shorter "
                "than the prompt, perhaps), so gaze has nothing to lead; set kl_layers to others, or fewer frames"
            )
        if not kl_norm:
            raise NoRegularizerGradient(
                f"the regularizer (KL {losses[1]:.3f}) has no gradient in the weights that are trained: none of them "
                "is below the decoder layers of kl_layers; set lora_targets to q_proj and k_proj among others, or "
                "kl_layers to later ones"
            )

    lengths = np.array([len(data.answer_tokens[answer]) for answer in data.answer_index[training]])
    longest = training[np.argsort(-lengths, kind="stable")]
    with peak_bytes(job.device) as peak:
        started = time.perf_counter()
        batch = _batch(longest, job)
        lm, kl = answer_losses(model, batch, settings, with_attention=supervised)
        # Take the gradient of the language loss only, at the cost of both: the regularizer's is measured above.
        job.accelerator.backward(lm + 0.0 * kl)
        if job.device.startswith("cuda"):
            torch.cuda.synchronize(job.device)
        pass_s = time.perf_counter() - started
    lm_norm = _norm(weights)
    untouched = tuple(name for name, weight in weights.items() if weight.grad is None)
    moments = 2 * sum(_local(weight).nbytes for name, weight in weights.items() if name not in untouched)
    need, total = peak[0] + moments, total_bytes(job.device)
    if need > total:
        reason = f"a step takes about {need / GIB:.1f} GiB, and there are {total / GIB:.1f}"
        raise OutOfMemory(out_of_memory_text(settings, job.device, reason))
    steps = settings.steps - first_step
    checks = steps / settings.check_every * min(CHECKED_WINDOWS, len(job.parts.validation)) / settings.batch_size
    passes = steps * settings.accumulate + checks / 3 / job.accelerator.num_processes
    seconds = pass_s * passes * len(job.questions)
    return Preflight(*losses, settings.kl_weight * kl_norm / max(lm_norm, 1e-12), untouched, need, total, seconds)


def _batch(rows: NDArray[np.int64], job: Job) -> Any:
    rows = rows[: job.settings.batch_size]
    return job.with_teacher(job.data.batch(rows, "cpu", job.gaze_of), rows).to(job.device)


def _local(weight: Any) -> torch.Tensor:
    """Return the part of the weight that this process holds."""
    local: torch.Tensor = weight.to_local() if hasattr(weight, "to_local") else weight
    return local


def _norm(weights: Mapping[str, torch.nn.Parameter]) -> float:
    """Return the norm of all gradients together; 0 if there are none."""
    gradients = [weight.grad for weight in weights.values() if weight.grad is not None]
    return float(gather_to_cpu(torch.nn.utils.get_total_norm(gradients))) if gradients else 0.0


def require_disk(out: Path, model: torch.nn.Module, weights: Mapping[str, torch.nn.Parameter]) -> None:
    """Raise DiskTooSmall unless checkpoint and saved state fit on the disk of `out` together."""
    # The state holds the trained weights, the best of them and two moments; while it is replaced there are two.
    trained = sum(weight.nbytes for weight in weights.values())
    need = sum(weight.nbytes for weight in model.parameters()) + 8 * trained
    folder = next(parent for parent in (out.resolve(), *out.resolve().parents) if parent.is_dir())
    free = shutil.disk_usage(folder).free
    if need > free:
        raise DiskTooSmall(
            f"{out} needs up to {need / GIB:.1f} GiB for checkpoint and state, and {free / GIB:.1f} GiB are free; "
            "free space, or give an --out on another disk"
        )


def duration_text(seconds: float) -> str:
    """Return a duration in words, in whole hours, minutes or seconds."""
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 1):.0f} s"

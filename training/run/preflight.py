"""Two batches before the first step: what cannot work is told in a line, before hours have gone into it."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.gaze.summary import GazeSummary
from gaze_vlm_ros.windows.cutting import reasons_text
from training.data.dataset import Dataset
from training.data.recordings import Recording
from training.data.split import Split
from training.model.distributed import whole
from training.model.forward import answer_losses
from training.model.memory import OutOfMemory, out_of_memory_text, peak_bytes, total_bytes
from training.run.job import Job, Parts
from training.run.run_folder import random_state, set_random_state
from training.settings import Settings

GIB = 2**30
_FEW_WITH_GAZE = 0.5  # of the windows; below, it is worth a word
_LISTED = 5  # names in a note


class NoUsableGaze(GazeVlmError):
    """Training is to be led by gaze, and no window has any."""


class NothingIsLed(GazeVlmError):
    """The regularizer has no gradient with respect to what is trained."""


class DiskTooSmall(GazeVlmError):
    """The output does not fit."""


@dataclass(frozen=True)
class Preflight:
    """What two batches have shown."""

    lm: float
    kl: float  # 0 where gaze does nothing
    kl_gradient_share: float  # norm of λ times the regularizer's gradient, as a share of the language loss's
    without_gradient: tuple[str, ...]  # weights that no loss depends on
    peak_bytes: int  # estimate for a step, the optimizer's moments included
    total_bytes: int
    seconds: float  # estimate for all steps that are left

    def text(self, steps: int) -> str:
        return (
            f"preflight: language loss {self.lm:.3f}, KL {self.kl:.2f}, whose gradient is "
            f"{self.kl_gradient_share:.2g} of the language loss's at full λ; memory about "
            f"{self.peak_bytes / GIB:.1f} of {self.total_bytes / GIB:.1f} GiB; {steps} steps in about "
            f"{duration_text(self.seconds)}"
        )


def notes_on_data(
    data: Dataset, parts: Parts, split: Split, recordings: Sequence[Recording], settings: Settings
) -> list[str]:
    """What a person should know of the data before training on it, a line each.

    Raises NoUsableGaze where gaze is to lead training and there is none.
    """
    notes = []
    with_windows = {data.sessions[index].digest for index in {window.session for window in data.windows}}
    counts = Counter(data.answer_index[parts.training].tolist())
    unused = [text for number, text in enumerate(data.labels.texts) if not counts[number]]
    if unused:
        notes.append(f"{len(unused)} of {len(data.labels.texts)} labels have no window to train on: {_some(unused)}")
    if len(counts) == 1:
        notes.append(f"every training window has the answer {data.labels.texts[next(iter(counts))]!r}")
    if data.dropped:
        notes.append("left out: " + reasons_text(data.dropped))
    people = [
        {recordings[i].person for i in chosen} - {""} for chosen in (split.training, split.validation + split.test)
    ]
    if both := sorted(people[0] & people[1]):
        notes.append(
            f"{_some(both)}, as a person, is in training and in held-out sessions: scores "
            "are of known people; for new ones --set split_by=person"
        )
    for part, chosen in (("train on", split.training), ("choose by", split.validation)):
        if empty := [recordings[i].name for i in chosen if recordings[i].digest not in with_windows]:
            notes.append(f"{_some(empty)}, of the sessions to {part}, gives no window; see what is left out")
    if split.validation and not len(parts.validation):
        notes.append("no window is left to choose by: the last weights are kept, and probabilities stay uncalibrated")
    if settings.gaze != "none" and settings.kl_weight > 0:
        share = float(data.has_gaze[parts.training].mean())
        samples = _gaze_samples([recordings[i] for i in split.training])
        if not share:
            raise NoUsableGaze(
                f"no training window has usable gaze ({samples}); check the tracker and camera with `gaze-vlm bag "
                "check`, or train without it: --gaze none"
            )
        if share < _FEW_WITH_GAZE:
            notes.append(f"gaze is usable in {share:.0%} of the training windows ({samples}); the others train without")
        rows_of_each = [data.rows_of([index]) for index in range(len(split.training))]
        blind = [i for i, rows in enumerate(rows_of_each) if len(rows) and not data.has_gaze[rows].any()]
        if blind:
            sessions = [data.sessions[index] for index in blind]
            notes.append(
                f"no window of {_some([session.name for session in sessions])} has usable gaze "
                f"({_gaze_samples(sessions)}); see `gaze-vlm bag check`"
            )
        if pointless := sum(session.gaze.no_estimate for session in data.sessions if session.gaze):
            notes.append(f"{pointless} gaze samples are left out: their x or y is NaN or infinite")
    return notes


def _gaze_samples(recordings: Sequence[Recording]) -> str:
    summaries = [recording.gaze for recording in recordings if recording.gaze is not None]

    def total(name: str) -> int:
        return sum(getattr(summary, name) for summary in summaries)

    reasons = {
        "off_image": "off the image or none", "unsure": "unsure", "not_worn": "not worn",
        "blink_or_saccade": "blink or saccade",
    }  # fmt: skip
    assert set(reasons) < set(GazeSummary.__dataclass_fields__)
    told = [f"{total(name)} {what}" for name, what in reasons.items() if total(name)]
    return f"of {total('samples')} samples {', '.join(told) or 'all are valid, and flow or time drops them'}"


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + rest


def run_preflight(model: Any, weights: Mapping[str, torch.nn.Parameter], job: Job, first_step: int = 0) -> Preflight:
    """Run two batches forward and backward; weights and random numbers stay as they were.

    Raises NothingIsLed, OutOfMemory.
    """
    random = random_state()
    try:
        return _fly(model, weights, job, first_step)
    finally:
        set_random_state(random)
        model.zero_grad(set_to_none=True)


def _fly(model: Any, weights: Mapping[str, torch.nn.Parameter], job: Job, first_step: int) -> Preflight:
    settings, data, training = job.settings, job.data, job.parts.training
    led = settings.gaze != "none" and settings.kl_weight > 0
    with_gaze = training[data.has_gaze[job.gaze_of[training]]]
    model.train()
    lm, kl = answer_losses(model, _batch(with_gaze if led else training, job), settings, with_attention=led)
    losses = (lm.item(), kl.item())
    kl_norm = 0.0
    if led:
        if kl.requires_grad:
            job.accelerator.backward(kl)
        kl_norm = _norm(weights)
        model.zero_grad(set_to_none=True)
        if not kl_norm:
            raise NothingIsLed(
                f"the regularizer (KL {losses[1]:.3f}) has no gradient in the weights that are trained: none of them "
                "is below the decoder layers of kl_layers; set lora_targets to q_proj and k_proj among others, or "
                "kl_layers to later ones"
            )

    lengths = np.array([len(data.answer_tokens[answer]) for answer in data.answer_index[training]])
    longest = training[np.argsort(-lengths, kind="stable")]
    with peak_bytes(job.device) as peak:
        started = time.perf_counter()
        batch = _batch(longest, job)
        lm, kl = answer_losses(model, batch, settings, with_attention=led)
        # The regularizer's share is known by now; this gradient is of the language loss, at the cost of both.
        job.accelerator.backward(lm + 0.0 * kl)
        if job.device.startswith("cuda"):
            torch.cuda.synchronize(job.device)
        pass_s = time.perf_counter() - started
    lm_norm = _norm(weights)
    untouched = tuple(name for name, weight in weights.items() if weight.grad is None)
    moments = 2 * sum(_local(weight).nbytes for name, weight in weights.items() if name not in untouched)
    need, total = peak[0] + moments, total_bytes(job.device)
    if need > total:
        how = f"a step takes about {need / GIB:.1f} GiB, and there are {total / GIB:.1f}"
        raise OutOfMemory(out_of_memory_text(settings, job.device, how))
    steps = settings.steps - first_step
    checks = steps / settings.check_every * min(256, len(job.parts.validation)) / settings.batch_size
    seconds = pass_s * (steps * settings.accumulate + checks / 3 / job.accelerator.num_processes)
    return Preflight(*losses, settings.kl_weight * kl_norm / max(lm_norm, 1e-12), untouched, need, total, seconds)


def _batch(rows: NDArray[np.int64], job: Job) -> Any:
    return job.data.batch(rows[: job.settings.batch_size], job.device, job.gaze_of)


def _local(weight: Any) -> torch.Tensor:
    """What this process holds of it."""
    local: torch.Tensor = weight.to_local() if hasattr(weight, "to_local") else weight
    return local


def _norm(weights: Mapping[str, torch.nn.Parameter]) -> float:
    gradients = [weight.grad for weight in weights.values() if weight.grad is not None]
    return float(whole(torch.nn.utils.get_total_norm(gradients))) if gradients else 0.0


def require_disk(out: Path, model: torch.nn.Module, weights: Mapping[str, torch.nn.Parameter]) -> None:
    """Raises DiskTooSmall where checkpoint and saved state do not fit beside each other."""
    # The state holds the weights that are trained, the best of them and two moments, and is replaced by a second one.
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
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 1):.0f} s"

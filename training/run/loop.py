"""The steps of a fit: by one process or by many, interrupted and resumed, always the same losses."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader
from tqdm import tqdm

from gaze_vlm_ros.errors import GazeVlmError
from training.data.batch import IGNORED, Batch
from training.model.distributed import whole
from training.model.forward import answer_losses
from training.model.trainable import decay_groups
from training.run.job import Job
from training.run.run_folder import METRICS, Best, restore, save_state
from training.settings import Settings

_CHECKED_WINDOWS = 256  # of the validation sessions, evenly spread
_REPEATED_S = 1.0  # a second Ctrl-C within this time is the launcher's copy of the first


class Diverged(GazeVlmError):
    """The loss is no number any more."""


class NoTensorBoard(GazeVlmError):
    """The package that writes TensorBoard's files is not installed."""


def train(
    model: Any,
    weights: Mapping[str, torch.nn.Parameter],
    optimizer: Any,
    job: Job,
    out: Path,
    state: dict[str, Any] | None,
    tensorboard: bool = False,
) -> dict[str, torch.Tensor] | None:
    """Run all steps that are left; returns the chosen weights, whole. None: interrupted, with the state saved.

    model: as the accelerator prepared it. weights: those of it that are trained. state: to go on from.
    """
    settings, accelerator = job.settings, job.accelerator
    first, best = 0, Best()
    batches = _batches(job, state["step"] if state else 0)
    if state:
        first, best = state["step"], restore(state, weights, optimizer, accelerator.process_index)

    interrupted = _note_signals()
    bar = tqdm(
        total=settings.steps, initial=first, desc=f"fit, gaze {settings.gaze}", unit="step", mininterval=0.5,
        disable=not accelerator.is_main_process,
    )  # fmt: skip
    with bar, _log(out, accelerator, tensorboard, first) as log:
        for step in range(first, settings.steps):
            model.train()
            started = time.perf_counter()
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * rate_factor(step, settings)
            row = {"step": step, "kl_weight": settings.kl_weight_at(step)}
            row["lm"], row["kl"], stop = _backward(model, batches, row["kl_weight"], job, interrupted)
            norm = accelerator.clip_grad_norm_(list(weights.values()), settings.gradient_clip)
            row["gradient"] = float(whole(norm))
            if not math.isfinite(row["lm"] + row["kl"] + row["gradient"]):
                raise Diverged(f"loss or gradient is not finite at step {step}; lower learning_rate or kl_weight")
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            row["rate"] = float(optimizer.param_groups[0]["lr"])
            windows = settings.batch_size * settings.accumulate * accelerator.num_processes
            row["windows_per_s"] = windows / (time.perf_counter() - started)

            last = step + 1 == settings.steps
            checked = last or (step + 1) % settings.check_every == 0
            if len(job.parts.validation) and checked:
                row["validation_lm"], row["validation_kl"] = check(model, job)
                if settings.keep == "best" and row["validation_lm"] < best.loss:
                    best = Best(row["validation_lm"], step, _copy(weights, accelerator))
            log(row)
            bar.set_postfix_str(
                f"lm {row['lm']:.3f} kl {row['kl']:.2f} λ {row['kl_weight']:.2f}"
                + (f" best {best.loss:.3f} at {best.step}" if best.step >= 0 else ""),
                refresh=False,
            )
            bar.update()
            if stop or checked:
                save_state(out, step + 1, weights, best, optimizer, job.data_hash, accelerator)
            if stop and not last:
                return None
    return best.weights if best.weights is not None else _copy(weights, accelerator)


def _backward(
    model: Any, batches: Iterator[Batch], kl_weight: float, job: Job, interrupted: Callable[[], bool]
) -> tuple[float, float, bool]:
    """Gradients of one step; (language loss, KL, whether any process was interrupted), all processes together.

    The language loss is a mean over the answers' tokens, the KL one over the windows with gaze, of the whole step: how
    the step is divided into batches and processes makes no difference.
    """
    settings, accelerator = job.settings, job.accelerator
    parts = [next(batches) for _ in range(settings.accumulate)]
    tokens = [int((part.answer_tokens != IGNORED).sum()) for part in parts]
    looked = [int(part.gaze.any(dim=1).sum()) for part in parts]
    counts = torch.tensor([sum(tokens), sum(looked)], dtype=torch.float64, device=job.device)
    all_tokens, all_looked = accelerator.reduce(counts, reduction="sum").clamp(min=1).tolist()
    sums = torch.zeros(3, dtype=torch.float64)
    for number, part in enumerate(parts):
        last = number + 1 == len(parts)
        with contextlib.nullcontext() if last else accelerator.no_sync(model):
            lm, kl = answer_losses(model, part.to(job.device), settings, with_attention=kl_weight > 0)
            lm, kl = lm * (tokens[number] / all_tokens), kl * (looked[number] / all_looked)
            # Gradients of the processes are averaged, and these are shares of a sum.
            accelerator.backward((lm + kl_weight * kl) * accelerator.num_processes)
        sums += torch.tensor([lm.item(), kl.item(), 0.0], dtype=torch.float64)
    sums[2] = interrupted()
    lm_sum, kl_sum, stop = accelerator.reduce(sums.to(job.device), reduction="sum").tolist()
    return lm_sum, kl_sum, stop > 0


@torch.no_grad()
def check(model: Any, job: Job) -> tuple[float, float]:
    """Mean language loss and KL over at most _CHECKED_WINDOWS validation windows; each process does its share."""
    model.eval()
    settings, accelerator = job.settings, job.accelerator
    validation = job.parts.validation
    rows = validation[np.unique(np.linspace(0, len(validation) - 1, _CHECKED_WINDOWS).round().astype(int))]
    starts = list(range(0, len(rows), settings.batch_size))
    rounds = -(-len(starts) // accelerator.num_processes)
    sums = torch.zeros(2, dtype=torch.float64)
    for index in range(rounds):
        number = index * accelerator.num_processes + accelerator.process_index
        # Sharded models need every process in every pass; one without a share repeats the first, for nothing.
        start = starts[number] if number < len(starts) else starts[0]
        batch = job.data.batch(rows[start : start + settings.batch_size], job.device)
        lm, kl = answer_losses(model, batch, settings, with_attention=True)
        if number < len(starts):
            sums += torch.tensor([lm.item(), kl.item()], dtype=torch.float64) * batch.size
    lm_sum, kl_sum = accelerator.reduce(sums.to(job.device), reduction="sum").tolist()
    return lm_sum / len(rows), kl_sum / len(rows)


def rate_factor(step: int, settings: Settings) -> float:
    """Learning rate at `step` as a share of the highest: a linear rise, then a cosine to settings.minimum_rate."""
    rise = settings.warmup * settings.steps
    if step < rise:
        return (step + 1) / (rise + 1)
    progress = (step - rise) / max(1.0, settings.steps - rise)
    return settings.minimum_rate + (1 - settings.minimum_rate) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def make_optimizer(weights: Mapping[str, torch.nn.Parameter], settings: Settings) -> torch.optim.Optimizer:
    return torch.optim.AdamW(decay_groups(weights, settings.weight_decay), settings.learning_rate, betas=(0.9, 0.95))


class _Draws(torch.utils.data.Dataset[Batch]):
    """Batches by their number."""

    def __init__(self, job: Job) -> None:
        self.data, self.rows, self.gaze_of, self.prior = job.data, job.rows, job.gaze_of, job.prior

    def __getitem__(self, draw: int) -> Batch:
        batch = self.data.batch(self.rows(draw), gaze_of=self.gaze_of, with_gaze=True)
        if self.prior is None:
            return batch
        return replace(batch, gaze=torch.from_numpy(self.prior) * batch.gaze.any(dim=1, keepdim=True))


def _batches(job: Job, first_step: int) -> Iterator[Batch]:
    """This process's batches from `first_step` on, read ahead by settings.loader_workers processes."""
    settings, processes = job.settings, job.accelerator.num_processes
    own = [
        draw * processes + job.accelerator.process_index
        for draw in range(first_step * settings.accumulate, settings.steps * settings.accumulate)
    ]
    loader: DataLoader[Batch] = DataLoader(
        _Draws(job),
        batch_size=None,
        sampler=own,
        num_workers=settings.loader_workers,
        collate_fn=_as_it_is,
        generator=torch.Generator(),  # of its own: the loader must not move the one that dropout draws from
    )
    return iter(loader)


def _as_it_is(batch: Any) -> Any:
    return batch


@contextlib.contextmanager
def _log(
    out: Path, accelerator: Accelerator, tensorboard: bool, first: int
) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """A function that takes the figures of a step; the first process writes them."""
    if not accelerator.is_main_process:
        yield lambda row: None
        return
    writer = require_tensorboard() if tensorboard else None
    board = writer(out / "tensorboard", purge_step=first or None) if writer else None
    with (out / METRICS).open("a", encoding="utf-8") as file:

        def log(row: Mapping[str, float]) -> None:
            file.write(json.dumps({key: round(value, 6) for key, value in row.items()}) + "\n")
            file.flush()
            if board is not None:
                for key, value in row.items():
                    if key != "step":
                        board.add_scalar(key, value, int(row["step"]))

        yield log
    if board is not None:
        board.close()


def require_tensorboard() -> Any:
    """The class that writes TensorBoard's files. Raises NoTensorBoard."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise NoTensorBoard(
            "--tensorboard needs the Python package tensorboard, which is not installed; `pip install tensorboard`"
        ) from None
    return SummaryWriter


def _copy(weights: Mapping[str, torch.Tensor], accelerator: Accelerator) -> dict[str, torch.Tensor]:
    """All weights, whole; the first process alone keeps them."""
    copies = {name: whole(weight) for name, weight in weights.items()}
    return copies if accelerator.is_main_process else {}


def _note_signals() -> Callable[[], bool]:
    """From now on SIGINT and SIGTERM are only noted: a step is never left half done. A second one ends at once."""
    noted: list[float] = []

    def note(number: int, _frame: object) -> None:
        if noted and time.monotonic() - noted[0] > _REPEATED_S:
            raise KeyboardInterrupt
        noted.append(time.monotonic())

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
    return lambda: bool(noted)

"""The steps of a fit. One process or many, interrupted and resumed or not: the losses are the same."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from tqdm import tqdm

from gaze_vlm_ros.errors import GazeVlmError
from training.data.batch import IGNORED, Batch
from training.data.dataset import Dataset, evenly_spread
from training.model.distributed import gather_to_cpu
from training.model.forward import losses
from training.run.batches import training_batches
from training.run.interrupts import note_signals
from training.run.job import Job
from training.run.metrics_log import open_metrics_log
from training.run.optimizer import rate_factor
from training.run.saved_state import Best, restore, save_state

CHECKED_WINDOWS = 256  # validation windows of one check at most, evenly spread


class Diverged(GazeVlmError):
    """The loss is not finite any more."""


def train(
    model: Any,
    weights: Mapping[str, torch.nn.Parameter],
    optimizer: Any,
    job: Job,
    out: Path,
    state: dict[str, Any] | None,
    tensorboard: bool = False,
) -> dict[str, torch.Tensor] | None:
    """Run the remaining steps; return the chosen weights, or None after an interrupt, with the state saved.

    model: as the accelerator prepared it. weights: its trained weights by name. state: of an interrupted fit, see
    read_state. The returned weights are full tensors on the CPU; empty in all processes but the main one.
    Raises Diverged.
    """
    settings, accelerator = job.settings, job.accelerator
    first, best = 0, Best()
    batches = training_batches(job, state["step"] if state else 0)
    if state:
        first, best = state["step"], restore(state, weights, optimizer, accelerator.process_index)
        if job.objective is not None:
            job.objective.restore(state.get("objective", {}))

    interrupted = note_signals()
    bar = tqdm(
        total=settings.steps, initial=first, desc=f"fit, gaze {settings.gaze}", unit="step", mininterval=0.5,
        disable=not accelerator.is_main_process,
    )  # fmt: skip
    with bar, open_metrics_log(out, accelerator, tensorboard, first) as log:
        for step in range(first, settings.steps):
            model.train()
            started = time.perf_counter()
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * rate_factor(step, settings)
            row = {"step": step, "kl_weight": settings.kl_weight_at(step)}
            row["lm"], row["kl"], stop = _backward(model, batches, step, row["kl_weight"], job, interrupted)
            norm = accelerator.clip_grad_norm_(list(weights.values()), settings.gradient_clip)
            row["gradient"] = float(gather_to_cpu(norm))
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
                row |= check(model, job)
                if settings.keep == "best" and row["validation_lm"] < best.loss:
                    best = Best(row["validation_lm"], step, _copy(weights, accelerator))
            if job.objective is not None and checked:
                row |= job.objective.figures()
            log(row)
            bar.set_postfix_str(
                f"lm {row['lm']:.3f} kl {row['kl']:.2f} λ {row['kl_weight']:.2f}"
                + (f" best {best.loss:.3f} at {best.step}" if best.step >= 0 else ""),
                refresh=False,
            )
            bar.update()
            if stop or checked:
                objective = job.objective.state() if job.objective is not None else {}
                save_state(out, step + 1, weights, best, optimizer, job.data_hash, accelerator, objective)
            if stop and not last:
                return None
    return best.weights if best.weights is not None else _copy(weights, accelerator)


def _backward(
    model: Any, batches: Iterator[Batch], step: int, kl_weight: float, job: Job, interrupted: Callable[[], bool]
) -> tuple[float, float, bool]:
    """Accumulate the gradients of one step; return (language loss, KL, whether any process was interrupted).

    Both losses are means over the whole step, of all processes: the language loss over answer tokens, the KL over
    windows with gaze. So it makes no difference how a step is divided into batches and processes.
    """
    settings, accelerator = job.settings, job.accelerator
    asked = [(job.batch_rows(number), data) for number in job.batch_numbers(step) for data in job.questions]
    rows = [own for own, _ in asked]
    parts = [next(batches) for _ in asked]
    parts = [job.with_teacher(part, own) for part, own in zip(parts, rows, strict=True)]
    tokens, with_gaze = zip(*map(_counts, parts), strict=True)
    counts = torch.tensor([sum(tokens), sum(with_gaze)], dtype=torch.float64, device=job.device)
    all_tokens, all_with_gaze = accelerator.reduce(counts, reduction="sum").clamp(min=1).tolist()
    of_windows: list[torch.Tensor] = []
    sums = torch.zeros(3, dtype=torch.float64)
    for number, part in enumerate(parts):
        last = number + 1 == len(parts)
        with contextlib.nullcontext() if last else accelerator.no_sync(model):
            weights = job.weights_of(*asked[number])
            found = losses(model, part.to(job.device), settings, kl_weight > 0, weights)
            of_windows.append(found.of_windows)
            lm, kl = found.lm * (tokens[number] / all_tokens), found.kl * (with_gaze[number] / all_with_gaze)
            # accelerate averages gradients over processes, but these losses are shares of a sum.
            accelerator.backward((lm + kl_weight * kl) * accelerator.num_processes)
        sums += torch.tensor([lm.item(), kl.item(), 0.0], dtype=torch.float64)
    if job.objective is not None:
        job.objective.note(np.concatenate(rows), torch.cat(of_windows).double().cpu().numpy(), accelerator)
    sums[2] = interrupted()
    lm_sum, kl_sum, stop = accelerator.reduce(sums.to(job.device), reduction="sum").tolist()
    return lm_sum, kl_sum, stop > 0


def check(model: Any, job: Job) -> dict[str, float]:
    """Return validation_lm, validation_exact and validation_kl over at most CHECKED_WINDOWS validation windows.

    All processes take part, and get the same figures. validation_lm is the mean over answer tokens, and for the stream
    over windows of -log p of whole answers; validation_exact the share of windows whose answer greedy generation gives;
    validation_kl the mean over windows with gaze, absent if none has: as in training, and whatever the batch size.
    Where the model is also asked what goes on now, validation_lm is the sum over both questions, whose parts are
    validation_lm_next and validation_lm_now.
    """
    model.eval()
    figures = _check(model, job, job.data)
    if job.data.now:
        now = _check(model, job, job.data.now)
        own = {"validation_lm_next": figures["validation_lm"]}
        own |= {f"{name}_now": value for name, value in now.items()}
        figures |= own | {"validation_lm": figures["validation_lm"] + now["validation_lm"]}
    return figures


def _check(model: Any, job: Job, data: Dataset) -> dict[str, float]:
    """Return the figures of `check` for one question."""
    settings, accelerator = job.settings, job.accelerator
    validation = job.parts.validation
    if data.asks_now:
        validation = validation[data.answer_index[validation] >= 0]
        if not len(validation):
            return {"validation_lm": 0.0, "validation_exact": 0.0}
    rows = evenly_spread(validation, CHECKED_WINDOWS)
    starts = list(range(0, len(rows), settings.batch_size))
    rounds = -(-len(starts) // accelerator.num_processes)
    sums = torch.zeros(5, dtype=torch.float64)  # language loss, tokens, KL, windows with gaze, right answers
    for index in range(rounds):
        number = index * accelerator.num_processes + accelerator.process_index
        # A sharded model needs every process in every pass; a process without a batch repeats the first one.
        start = starts[number] if number < len(starts) else starts[0]
        batch = data.batch(rows[start : start + settings.batch_size], job.device)
        with torch.no_grad():
            found = losses(model, batch, settings, with_attention=True)
        if number < len(starts):
            tokens, with_gaze = _counts(batch)
            sums += torch.tensor(
                [found.lm.item() * tokens, tokens, found.kl.item() * with_gaze, with_gaze, float(found.right.sum())],
                dtype=torch.float64,
            )
    lm_sum, tokens, kl_sum, with_gaze, right = accelerator.reduce(sums.to(job.device), reduction="sum").tolist()
    figures = {"validation_lm": lm_sum / (len(rows) if data.stream or data.asks_now else tokens)}
    figures["validation_exact"] = right / len(rows)
    return figures | {"validation_kl": kl_sum / with_gaze} if with_gaze else figures


def _counts(batch: Batch) -> tuple[int, int]:
    """Return the answer tokens of a batch, and its windows with gaze or a teacher: what the losses are means over."""
    if batch.taught is not None:
        return int((batch.answer_tokens != IGNORED).sum()), int(batch.taught.shares.any(dim=(1, 2)).sum())
    return int((batch.answer_tokens != IGNORED).sum()), int(batch.gaze.any(dim=1).sum())


def _copy(weights: Mapping[str, torch.Tensor], accelerator: Accelerator) -> dict[str, torch.Tensor]:
    """Return full copies of the weights on the CPU; an empty dict in all processes but the main one."""
    copies = {name: gather_to_cpu(weight) for name, weight in weights.items()}
    return copies if accelerator.is_main_process else {}

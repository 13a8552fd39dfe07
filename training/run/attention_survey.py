"""What the model attends to before the first step: heads that look where gaze is, and tokens that are only sinks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.storage.atomic import write_text
from training.data.batch import Batch
from training.data.dataset import evenly_spread
from training.model.forward import run_pass
from training.model.supervision import supervised_layers
from training.run.job import Job

SURVEYED_WINDOWS = 32  # training windows with gaze, at most, evenly spread
SURVEY = "survey.json"  # heads and sinks, in the folder of the fit: one that is resumed keeps them

Found = dict[str, list[str] | list[int]]  # "heads": names as in kl_heads; "sinks": numbers of visual tokens


class OnlySinks(GazeVlmError):
    """No visual token is left that is not a sink."""


def survey_attention(model: torch.nn.Module, job: Job) -> Found:
    """Return what kl_heads: located and kl_sinks ask for; nothing without a regularizer. Raises OnlySinks."""
    settings = job.settings
    found: Found = {}
    training = job.parts.training
    if settings.gaze == "none" or not settings.kl_weight or not job.data.has_gaze[job.gaze_of[training]].any():
        return found
    model.eval()
    if settings.kl_heads == "located":
        found["heads"] = located_heads(model, job)
    if settings.kl_sinks:
        found["sinks"] = attention_sinks(model, surveyed(job, found))
    return found


def surveyed(job: Job, found: Found) -> Job:
    """Return the job with the heads and without the sinks that were found."""
    if heads := found.get("heads"):
        job = replace(job, settings=replace(job.settings, kl_heads=tuple(heads), kl_layers=()))
    if sinks := found.get("sinks"):
        left_out = torch.zeros(len(job.data.frame_of_token), dtype=torch.bool)
        left_out[[int(sink) for sink in sinks]] = True
        now = job.data.now and replace(job.data.now, left_out=left_out)
        job = replace(job, data=replace(job.data, left_out=left_out, now=now))
    return job


def survey_text(found: Found, tokens: int) -> str:
    """Return in one line what was found; "" = nothing. tokens: visual tokens of a window."""
    parts = [f"gaze leads heads {', '.join(map(str, heads))}"] if (heads := found.get("heads")) else []
    if "sinks" in found:
        parts.append(f"{len(found['sinks'])} of {tokens} visual tokens are attention sinks and left out of the KL")
    return "; ".join(parts)


def keep_survey(out: Path, found: Found) -> None:
    """Write what was found into the folder of the fit."""
    write_text(out / SURVEY, json.dumps(found) + "\n")


def kept_survey(out: Path) -> Found | None:
    """Return what the fit in `out` found when it began; None where it kept nothing."""
    path = out / SURVEY
    if not path.is_file():
        return None
    found: Found = json.loads(path.read_text(encoding="utf-8"))
    return found


@torch.no_grad()
def located_heads(model: torch.nn.Module, job: Job) -> list[str]:
    """Return the names of the settings.kl_located heads with most attention where gaze is, by layer and head.

    That is, of the attention that falls on visual tokens, the share on those with at least half of the highest gaze,
    averaged over rows that predict the answer and then over windows. Raises CannotTap.
    """
    layers = supervised_layers(model, job.settings)
    settings = replace(job.settings, kl_heads="each", kl_layers=layers)
    sums: Tensor | None = None
    for batch in _batches(job):
        _, log_attention, counts = run_pass(model, batch, settings, with_attention=True)
        assert log_attention is not None
        assert counts is not None
        region = batch.gaze >= 0.5 * batch.gaze.amax(dim=1, keepdim=True)
        mass = (log_attention.exp() * region[:, None]).sum(dim=-1)  # (B, L * H * R)
        rows = batch.answer_tokens.shape[1]
        mass, counts = mass.unflatten(1, (-1, rows)), counts.unflatten(1, (-1, rows))
        of_windows = (mass * counts).sum(dim=-1) / counts.sum(dim=-1).clamp(min=1)
        of_windows = of_windows * batch.gaze.any(dim=1, keepdim=True)  # none: its answer is not known
        sums = of_windows.double().sum(dim=0) + (0 if sums is None else sums)
    assert sums is not None
    per_layer = len(sums) // len(layers)
    best = np.argsort(-sums.cpu().numpy(), kind="stable")[: settings.kl_located]
    return [f"L{layers[number // per_layer]}H{number % per_layer}" for number in sorted(best.tolist())]


@torch.no_grad()
def attention_sinks(model: torch.nn.Module, job: Job) -> list[int]:
    """Return the visual tokens with at least settings.kl_sinks times an even share of attention in every window.

    Attention is that of the supervised heads, averaged over rows that predict the answer. Raises OnlySinks, CannotTap.
    """
    least: Tensor | None = None
    for batch in _batches(job):
        _, log_attention, counts = run_pass(model, batch, job.settings, with_attention=True)
        assert log_attention is not None
        assert counts is not None
        weights = counts.to(log_attention)[..., None]
        of_windows = (log_attention.exp() * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
        lowest = of_windows.masked_fill(~batch.gaze.any(dim=1, keepdim=True), torch.inf).amin(dim=0)
        least = lowest if least is None else torch.minimum(least, lowest)
    assert least is not None
    sinks = torch.nonzero(least >= job.settings.kl_sinks / len(least)).flatten().tolist()
    if len(least) - len(sinks) < 2:
        raise OnlySinks(
            f"setting kl_sinks is {job.settings.kl_sinks:g}, by which {len(sinks)} of {len(least)} visual tokens are "
            "attention sinks, and the KL has nothing left; set it higher (above 1), or 0"
        )
    return sinks


def _batches(job: Job) -> Iterator[Batch]:
    """Yield the surveyed windows with the gaze that they are trained with."""
    training: NDArray[np.int64] = job.parts.training
    rows = evenly_spread(training[job.data.has_gaze[job.gaze_of[training]]], SURVEYED_WINDOWS)
    size = job.settings.batch_size
    for start in range(0, len(rows), size):
        batch = job.data.batch(rows[start : start + size], job.device, job.gaze_of)
        if job.prior is not None:
            batch = replace(batch, gaze=torch.from_numpy(job.prior).to(batch.gaze).expand_as(batch.gaze))
        yield batch

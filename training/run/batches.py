"""Read the batches of a fit, optionally ahead of the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from gaze_vlm_ros.labels.answer_words import NOTHING
from training.data.batch import Batch
from training.run.job import Job


class NumberedBatches(torch.utils.data.Dataset[Batch]):
    """Training batches, indexed by their number over all processes."""

    def __init__(self, job: Job) -> None:
        self.data, self.batch_rows, self.gaze_of, self.prior = job.data, job.batch_rows, job.gaze_of, job.prior
        self.adjustment = job.adjustment
        self.unsupervised: NDArray[np.bool_] | None = None  # (N,) windows without KL, whatever their gaze
        if job.data.stream and job.settings.kl_windows == "action":
            self.unsupervised = job.data.stream.actions == NOTHING

    def __getitem__(self, number: int) -> Batch:
        rows = self.batch_rows(number)
        batch = self.data.batch(rows, gaze_of=self.gaze_of, with_gaze=True)
        if batch.when and self.adjustment is not None:
            batch = replace(batch, when=replace(batch.when, adjustment=torch.from_numpy(self.adjustment)))
        if self.unsupervised is not None:
            batch = replace(batch, gaze=batch.gaze * ~torch.from_numpy(self.unsupervised[rows])[:, None])
        if self.prior is None:
            return batch
        return replace(batch, gaze=torch.from_numpy(self.prior) * batch.gaze.any(dim=1, keepdim=True))


def training_batches(job: Job, first_step: int) -> Iterator[Batch]:
    """Yield the batches of this process from `first_step` on; settings.loader_workers processes read ahead."""
    settings = job.settings
    own = [number for step in range(first_step, settings.steps) for number in job.batch_numbers(step)]
    loader: DataLoader[Batch] = DataLoader(
        NumberedBatches(job),
        batch_size=None,
        sampler=own,
        num_workers=settings.loader_workers,
        collate_fn=_unchanged,
        generator=torch.Generator(),  # the loader must not advance the generator that dropout draws from
    )
    return iter(loader)


def _unchanged(batch: Any) -> Any:
    return batch

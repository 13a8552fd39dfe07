"""Read the batches of a fit, optionally ahead of the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch.utils.data import DataLoader

from training.data.batch import Batch
from training.run.job import Job


class NumberedBatches(torch.utils.data.Dataset[Batch]):
    """Training batches, indexed by their number over all processes."""

    def __init__(self, job: Job) -> None:
        self.data, self.batch_rows, self.gaze_of, self.prior = job.data, job.batch_rows, job.gaze_of, job.prior

    def __getitem__(self, number: int) -> Batch:
        batch = self.data.batch(self.batch_rows(number), gaze_of=self.gaze_of, with_gaze=True)
        if self.prior is None:
            return batch
        return replace(batch, gaze=torch.from_numpy(self.prior) * batch.gaze.any(dim=1, keepdim=True))


def training_batches(job: Job, first_step: int) -> Iterator[Batch]:
    """Yield the batches of this process from `first_step` on; settings.loader_workers processes read ahead."""
    settings, processes = job.settings, job.accelerator.num_processes
    own = [
        number * processes + job.accelerator.process_index
        for number in range(first_step * settings.accumulate, settings.steps * settings.accumulate)
    ]
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

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
from training.data.dataset import Dataset
from training.run.job import Job


class NumberedBatches(torch.utils.data.Dataset[Batch]):
    """Training batches, indexed by their number over all processes and the place of the question in job.questions."""

    def __init__(self, job: Job) -> None:
        self.questions, self.batch_rows = job.questions, job.batch_rows
        self.gaze_of, self.prior, self.adjustment = job.gaze_of, job.prior, job.adjustment
        only_actions = job.settings.kl_windows == "action"
        # For each question, (N,) windows without KL, whatever their gaze
        self.unsupervised = [_without_action(data) if only_actions else None for data in job.questions]

    def __getitem__(self, index: tuple[int, int]) -> Batch:
        number, question = index
        rows = self.batch_rows(number)
        batch = self.questions[question].batch(rows, gaze_of=self.gaze_of, with_gaze=True)
        if batch.when and self.adjustment is not None:
            batch = replace(batch, when=replace(batch.when, adjustment=torch.from_numpy(self.adjustment)))
        unsupervised = self.unsupervised[question]
        if unsupervised is not None:
            batch = replace(batch, gaze=batch.gaze * ~torch.from_numpy(unsupervised[rows])[:, None])
        if self.prior is None:
            return batch
        return replace(batch, gaze=torch.from_numpy(self.prior) * batch.gaze.any(dim=1, keepdim=True))


def training_batches(job: Job, first_step: int) -> Iterator[Batch]:
    """Yield the batches of this process from `first_step` on, each once for each question.

    settings.loader_workers processes read ahead.
    """
    settings = job.settings
    own = [
        (number, question)
        for step in range(first_step, settings.steps)
        for number in job.batch_numbers(step)
        for question in range(len(job.questions))
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


def _without_action(data: Dataset) -> NDArray[np.bool_] | None:
    """Return (N,) at which windows of a stream the answer is nothing; None where answers are only labels."""
    if data.asks_now:
        return np.asarray(data.answer_index == len(data.labels.texts))
    return data.stream.actions == NOTHING if data.stream else None


def _unchanged(batch: Any) -> Any:
    return batch

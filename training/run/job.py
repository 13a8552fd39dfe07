"""The inputs of a training loop."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from training.data.batch import Batch
from training.data.dataset import Dataset
from training.model.distillation import next_tokens
from training.run.batch_sampler import batch_rows, batch_rows_by_class
from training.run.objective import WindowWeights
from training.settings import Settings


@dataclass(frozen=True)
class Parts:
    """Rows of the data set in each part of the split."""

    training: NDArray[np.int64]
    validation: NDArray[np.int64]  # may be empty: then the last weights are kept
    calibration: NDArray[np.int64]  # those of validation, if no session is set apart; may be empty


@dataclass(frozen=True)
class Job:
    """Data, settings and processes of one fit."""

    data: Dataset
    parts: Parts
    gaze_of: NDArray[np.int64]  # (N,) row whose gaze each window gets
    prior: NDArray[np.float32] | None  # (V,) target that replaces gaze in every window with gaze; None = gaze itself
    settings: Settings
    device: str
    accelerator: Accelerator
    data_hash: str
    # (K + 1,) see batch.WhenTokens.adjustment: of the windows to train on
    adjustment: NDArray[np.float32] | None = None
    taught: NDArray[np.float32] | None = None  # (N, L) what a teacher says of each answer, see teacher.teacher_shares
    objective: WindowWeights | None = None  # None = all windows count alike
    # (N,) factor of each window where the question is what goes on now: thinned ones stand for those left out
    now_weights: NDArray[np.float64] | None = None

    @property
    def questions(self) -> list[Dataset]:
        """The data set of each question that the model is trained for."""
        return [self.data, self.data.now] if self.data.now else [self.data]

    def weights_of(self, rows: NDArray[np.int64], data: Dataset) -> torch.Tensor | None:
        """Return the (B,) factors of the language losses of the windows `rows`; None = all alike."""
        weights = self.objective.of(rows) if self.objective is not None else None
        if data is not self.data and self.now_weights is not None:
            own = torch.from_numpy(self.now_weights[rows].astype(np.float32))
            return own if weights is None else weights * own
        return weights

    def with_teacher(self, batch: Batch, rows: NDArray[np.int64]) -> Batch:
        """Return the batch of the windows `rows` with what the teacher says of them, if there is one."""
        if self.taught is None:
            return batch
        answers, tokens = self.data.answer_index[rows], self.data.answer_tokens
        return replace(batch, taught=next_tokens(self.taught[rows], answers, tokens))

    def batch_numbers(self, step: int) -> list[int]:
        """Return the numbers of the batches of this process in a step, counted over all processes."""
        first, processes = step * self.settings.accumulate, self.accelerator.num_processes
        return [
            number * processes + self.accelerator.process_index
            for number in range(first, first + self.settings.accumulate)
        ]

    def batch_rows(self, number: int) -> NDArray[np.int64]:
        """Return the rows of the windows in batch `number`, counted over all processes."""
        settings, training = self.settings, self.parts.training
        if settings.balance == "classes":
            return training[
                batch_rows_by_class(number, settings.batch_size, self.data.answer_index[training], settings.seed)
            ]
        return training[batch_rows(number, settings.batch_size, len(training), settings.seed)]

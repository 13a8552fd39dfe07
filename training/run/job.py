"""What a training loop is given: settings, model, data and where to write."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray

from training.data.dataset import Dataset
from training.run.batch_sampler import batch_rows, batch_rows_by_class
from training.settings import Settings


@dataclass(frozen=True)
class Parts:
    """Rows of the data set."""

    training: NDArray[np.int64]
    validation: NDArray[np.int64]  # may be empty: then the last weights are kept


@dataclass(frozen=True)
class Job:
    """What is fitted to what, and by whom."""

    data: Dataset
    parts: Parts
    gaze_of: NDArray[np.int64]  # (N,) the window whose gaze each window gets
    prior: NDArray[np.float32] | None  # (V,) what every window with gaze gets for it; None = gaze
    settings: Settings
    device: str
    accelerator: Accelerator
    data_hash: str

    def rows(self, draw: int) -> NDArray[np.int64]:
        """The windows of batch number `draw`, all processes counted."""
        settings, training = self.settings, self.parts.training
        if settings.balance == "classes":
            return training[
                batch_rows_by_class(draw, settings.batch_size, self.data.answer_index[training], settings.seed)
            ]
        return training[batch_rows(draw, settings.batch_size, len(training), settings.seed)]

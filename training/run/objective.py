"""Objectives that weigh windows unequally, against shortcuts: group DRO, and the second stage of JTT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from training.data.dataset import Dataset
from training.data.groups import BadGroups, window_groups
from training.model.forward import losses
from training.settings import Settings

Floats = NDArray[np.float64]


@dataclass
class WindowWeights:
    """Factors of the language loss of each window, whose mean over the windows to train on is 1.

    With groups they change from step to step (group DRO, Sagawa et al. 2020, online algorithm): a group's factor is q_g
    over its share of the windows, and q_g grows by exp(rate x its mean loss) and is normalized.
    """

    factors: Floats  # (N,) of each window of the data set, before groups
    names: tuple[str, ...] = ()  # of the groups; none = factors stay
    group: NDArray[np.int64] | None = None  # (N,)
    shares: Floats | None = None  # (G,) of the windows to train on
    q: Floats | None = None  # (G,) sums to 1
    rate: float = 0.0

    def of(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Return the (B,) factors of the windows `rows` at this step."""
        factors = self.factors[rows]
        if self.group is not None and self.q is not None and self.shares is not None:
            factors = factors * (self.q / self.shares)[self.group[rows]]
        return torch.from_numpy(factors.astype(np.float32))

    def note(self, rows: NDArray[np.int64], losses: NDArray[np.float64], accelerator: Accelerator) -> None:
        """Change the groups' factors after a step. losses: (B,) of the windows `rows` of this process, nats."""
        if self.group is None or self.q is None:
            return
        count = len(self.names)
        sums = [np.bincount(self.group[rows], weights, count) for weights in (losses, np.ones(len(rows)))]
        both = torch.from_numpy(np.stack(sums)).to(accelerator.device)
        total, number = accelerator.reduce(both, reduction="sum").cpu().numpy()
        grown = self.q * np.exp(self.rate * total / np.maximum(number, 1))
        self.q = grown / grown.sum()

    def state(self) -> dict[str, Any]:
        """Return what an interrupted fit needs to go on with."""
        return {} if self.q is None else {"q": self.q.tolist()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        if "q" in state:
            self.q = np.array(state["q"])

    def figures(self) -> dict[str, float]:
        """Return the groups' weights q for the log, by name."""
        return {} if self.q is None else {f"group {name}": float(q) for name, q in zip(self.names, self.q, strict=True)}


def group_weights(data: Dataset, training: NDArray[np.int64], settings: Settings) -> WindowWeights:
    """Return equal weights for all groups of settings.groups. Raises BadGroups where there are fewer than two."""
    names, group = window_groups(settings.groups, data.windows, data.sessions)
    present = np.unique(group[training])
    if len(present) < 2:
        raise BadGroups(
            f"groups: {settings.groups} puts all windows to train on into one group, {names[present[0]]!r}; "
            "objective: group_dro needs two or more: set groups to another property or a file"
        )
    shares = np.bincount(group[training], minlength=len(names)) / len(training)
    # Groups of validation windows only have no share: their weight is 0.
    q = (shares > 0) / (shares > 0).sum()
    shares = np.where(shares > 0, shares, 1.0)
    return WindowWeights(np.ones(len(data.windows)), names, group, shares, q, settings.group_rate)


def error_weights(
    data: Dataset, training: NDArray[np.int64], wrong: Sequence[int], settings: Settings
) -> WindowWeights:
    """Return weights for the second stage of JTT (Liu et al. 2021): settings.jtt_weight for the windows `wrong`."""
    factors = np.ones(len(data.windows))
    factors[np.asarray(wrong, np.int64)] = settings.jtt_weight
    return WindowWeights(factors / factors[training].mean())


@torch.no_grad()
def wrong_rows(model: Any, data: Dataset, rows: NDArray[np.int64], settings: Settings, device: str) -> list[int]:
    """Return those of `rows` that the model answers wrongly by greedy generation; censored windows are never wrong.

    One pass over each window with its true answer decides: generation gives it exactly if each of its tokens is the
    most likely one after those before it.
    """
    model.eval()
    wrong: list[int] = []
    for start in range(0, len(rows), settings.batch_size):
        part = rows[start : start + settings.batch_size]
        batch = data.batch(part, device)
        right = losses(model, batch, settings, with_attention=False).right.cpu().numpy()
        if data.stream is not None:
            right = right | data.stream.censored[part]
        wrong += part[~right].tolist()
    return wrong

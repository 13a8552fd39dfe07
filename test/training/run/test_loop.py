"""What a check on the validation sessions measures."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from training.data.batch import IGNORED, Batch
from training.run import loop
from training.run.job import Job, Parts
from training.settings import Settings

LENGTHS = np.array([1, 5, 2, 1, 4, 3, 1])  # tokens of each window's answer
LOSSES = np.array([6.0, 1.0, 3.0, 5.0, 2.0, 0.5, 4.0])  # of each of its tokens
KL = np.array([1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 3.0])
GAZE = KL > 0


class Windows:
    """Windows whose losses are known; the gaze of each is its number."""

    stream = now = None
    asks_now = False

    def __init__(self, gaze: Any) -> None:
        self.gaze = gaze

    def batch(self, rows: Any, device: str) -> Batch:
        tokens = torch.full((len(rows), int(LENGTHS[rows].max())), IGNORED)
        for place, row in enumerate(rows):
            tokens[place, : LENGTHS[row]] = int(row)
        gaze = torch.from_numpy(self.gaze[rows]).float()[:, None]
        return Batch({}, tokens, torch.zeros(1), torch.zeros(1), gaze)


def known_losses(model: Any, batch: Batch, settings: Settings, with_attention: bool) -> Any:
    """Return what forward.losses does: means over the batch's tokens and over its windows with gaze."""
    tokens = batch.answer_tokens[batch.answer_tokens != IGNORED].numpy()
    rows = batch.answer_tokens[:, 0].numpy()[batch.gaze.any(dim=1).numpy()]
    kl = torch.tensor(KL[rows].mean() if len(rows) else 0.0)
    return SimpleNamespace(lm=torch.tensor(LOSSES[tokens].mean()), kl=kl, right=batch.answer_tokens[:, 0] > 3)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_validation_losses_do_not_depend_on_the_batch_size(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Means over tokens and over windows with gaze; a mean of batch means weighs short answers and empty gaze."""
    monkeypatch.setattr(loop, "losses", known_losses)
    rows = np.arange(len(LENGTHS))

    def checked(gaze: Any) -> dict[str, float]:
        settings = Settings(batch_size=size, device="cpu")
        job = Job(Windows(gaze), Parts(rows, rows, rows), rows, None, settings, "cpu", Accelerator(cpu=True), "")  # type: ignore[arg-type]
        return loop.check(torch.nn.Identity(), job)

    of_all = {
        "validation_lm": pytest.approx((LOSSES * LENGTHS).sum() / LENGTHS.sum()),
        "validation_exact": 3 / 7,
        "validation_kl": 2.0,
    }
    assert checked(GAZE) == of_all
    assert checked(np.zeros(len(rows), bool)) == {name: of_all[name] for name in ("validation_lm", "validation_exact")}

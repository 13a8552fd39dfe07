"""Ranking several questions in a pass, against one at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaze_vlm_ros.vlm import batch_ranking
from gaze_vlm_ros.vlm.batch_ranking import BatchRanker
from gaze_vlm_ros.vlm.observation import Encoded, encode, label_tokens
from gaze_vlm_ros.vlm.ranking import rank

QUESTION = "What will the person do next?"
ANSWERS = ["soon take the red mug", "soon go", "later take the red mug", "later go", "nothing yet"]
ONE_AT_A_TIME = ("tiny:lfm2_vl",)  # its convolutions cannot read a tree


@pytest.fixture
def asked(tiny, pictures) -> list[Encoded]:
    return [encode(tiny[1], pictures(2, (64, 48), seed=seed), QUESTION) for seed in range(3)]


def batched(asked: list[Encoded]) -> dict[str, torch.Tensor]:
    return {name: torch.cat([one.inputs[name] for one in asked]) for name in asked[0].inputs}


def test_a_batch_gives_what_each_question_gives_by_itself(tiny, tiny_name, asked) -> None:
    model, processor = tiny
    answers = label_tokens(processor, ANSWERS)
    ranker = BatchRanker(model, answers)
    found = ranker.rank(batched(asked), asked)
    expected = [rank(model, one, answers).log_likelihoods for one in asked]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert ranker._in_batches == (tiny_name not in ONE_AT_A_TIME)


def test_a_large_set_takes_several_passes(tiny, asked, monkeypatch: pytest.MonkeyPatch) -> None:
    model, processor = tiny
    answers = label_tokens(processor, [f"{when} take {what}" for when in "abcd" for what in "efghijkl"])
    whole = BatchRanker(model, answers).rank(batched(asked), asked)
    monkeypatch.setattr(batch_ranking, "PASS_BYTES", 1)
    np.testing.assert_allclose(BatchRanker(model, answers).rank(batched(asked), asked), whole, rtol=0, atol=1e-4)

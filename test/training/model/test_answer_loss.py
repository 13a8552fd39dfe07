"""The language loss of answers, against sums of probabilities written out."""

import math

import numpy as np
import pytest
import torch

from training.data.batch import IGNORED, WhenTokens
from training.model.answer_loss import token_losses

# A vocabulary of 6 tokens. Answers: begin, when (2, 3 = parts; 4 = nothing), what, end.
WHEN = torch.tensor([2, 3, 4])


def case(adjustment: list[float] | None = None) -> tuple[torch.Tensor, torch.Tensor, WhenTokens]:
    logits = torch.randn(3, 3, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_(True)
    tokens = torch.tensor([[0, 3, 5], [0, 4, IGNORED], [0, 4, IGNORED]])
    # The third window is known for 0.75 s of two parts of 1 s each.
    remaining = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.25, 1.0, 1.0]])
    return logits, tokens, WhenTokens(1, WHEN, remaining, torch.tensor(adjustment or [0.0] * 3))


def test_without_the_stream_it_is_the_cross_entropy_of_each_token() -> None:
    logits, tokens, _ = case()
    losses = token_losses(logits, tokens)
    assert losses[0, 2].item() == pytest.approx(-logits[0, 2].log_softmax(0)[5].item(), rel=1e-6)
    assert losses[1, 2] == losses[2, 2] == 0


def test_a_censored_window_counts_all_that_can_still_be_true() -> None:
    logits, tokens, when = case()
    losses = token_losses(logits, tokens, when)
    p = logits[2, 1].softmax(0).detach()
    assert losses[2, 1].item() == pytest.approx(-math.log(0.25 * p[2] + p[3] + p[4]), rel=1e-6)
    assert torch.equal(losses[:2], token_losses(logits, tokens)[:2])  # others as without
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    assert torch.isfinite(gradient).all()
    assert gradient[2, 1, 3] < 0 < gradient[2, 1, 5]


def test_sampled_shares_are_taken_out_of_the_probabilities() -> None:
    """Nothing was thinned to a tenth. With p the stream's distribution, the sample's is p w / sum(p w)."""
    logits, tokens, when = case([0.0, 0.0, math.log(0.1)])
    losses = token_losses(logits, tokens, when)
    weights = torch.tensor([1, 1, 1, 1, 0.1, 1], dtype=torch.float64)
    for row, token in ((0, 3), (1, 4)):
        seen = logits[row, 1].softmax(0) * weights
        assert losses[row, 1].item() == pytest.approx(-math.log(seen[token] / seen.sum()), rel=1e-6)
    assert losses[2, 1] == token_losses(*case())[2, 1]  # what is known of a censored window was not sampled


def test_the_best_logits_for_a_thinned_sample_are_those_of_the_stream() -> None:
    """900 of 1000 moments have no answer; a ninth of them is used. The fit must find 0.9, not 0.5."""
    tokens = torch.cat([torch.full((100, 1), 2), torch.full((100, 1), 4)])
    adjustment = torch.tensor(np.log([0.5 / 0.1, 1.0, 0.5 / 0.9]), dtype=torch.float32)
    when = WhenTokens(0, WHEN, torch.zeros(200, 3), adjustment)
    logits = torch.zeros(6, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=100)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = token_losses(logits.expand(200, 1, 6), tokens, when).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert logits.softmax(0)[4].item() == pytest.approx(0.9, abs=0.005)

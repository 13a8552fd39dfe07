"""Which weights decay, and how the learning rate moves."""

import pytest
import torch

from training.run.optimizer import decay_groups, make_optimizer, rate_factor
from training.settings import Settings


def test_only_matrices_decay() -> None:
    weights = {"matrix": torch.nn.Parameter(torch.zeros(2, 3)), "bias": torch.nn.Parameter(torch.zeros(3))}
    matrices, vectors = decay_groups(weights, 0.1)
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.1, 0.0)
    assert matrices["params"][0] is weights["matrix"]
    assert vectors["params"][0] is weights["bias"]
    optimizer = make_optimizer(weights, Settings(learning_rate=0.5, weight_decay=0.2))
    assert [(group["lr"], group["betas"]) for group in optimizer.param_groups] == [(0.5, (0.9, 0.95))] * 2
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.2, 0.0]


def test_the_rate_rises_and_falls_to_its_minimum() -> None:
    settings = Settings(steps=100, warmup=0.1, minimum_rate=0.2)
    factors = [rate_factor(step, settings) for step in range(101)]
    assert factors[0] == pytest.approx(1 / 11)
    assert factors[10] == pytest.approx(1.0)
    assert factors[55] == pytest.approx(0.6)  # half of the cosine
    assert factors[100] == pytest.approx(0.2)
    assert factors[:11] == sorted(factors[:11])
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert rate_factor(0, Settings(steps=10, warmup=0.0)) == 1.0

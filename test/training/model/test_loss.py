"""The regularizer against analytic values, float64 by hand, and what it would be with the usual mistakes."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from training.model.loss import gaze_regularizer

VISUAL = 15  # log 15 = 2.708 nats


def random_case(batch=3, rows=4, visual=VISUAL, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, rows, visual, generator=generator, dtype=torch.float64).mul_(2).requires_grad_(True)
    gaze = torch.softmax(torch.randn(batch, visual, generator=generator, dtype=torch.float64) * 2, dim=-1)
    return logits, torch.log_softmax(logits, dim=-1), gaze


def kl_by_hand(p, q) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p.tolist(), q.tolist(), strict=True) if a > 0)


def test_uniform_against_peaked_is_log_v():
    uniform = torch.full((1, 2, VISUAL), -math.log(VISUAL), dtype=torch.float64)
    peaked = F.one_hot(torch.tensor([4]), VISUAL).double()
    assert gaze_regularizer(uniform, peaked).item() == pytest.approx(math.log(VISUAL), abs=1e-14)
    # Gaze on two of them, evenly: log(V / 2). Equal distributions: 0.
    two = torch.zeros(1, VISUAL, dtype=torch.float64)
    two[0, [1, 7]] = 0.5
    assert gaze_regularizer(uniform, two).item() == pytest.approx(math.log(VISUAL / 2), abs=1e-14)
    assert gaze_regularizer(uniform, uniform[:, 0].exp()).item() == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_agrees_with_float64_by_hand(dtype):
    _, log_attention, gaze = random_case()
    gaze = gaze.clone()
    gaze[1, :8] = 0  # exact zeros are left out of the sum
    gaze[1] /= gaze[1].sum()
    expected = np.mean([kl_by_hand(gaze[b], log_attention[b, r].exp()) for b in range(3) for r in range(4)])
    value = gaze_regularizer(log_attention.to(dtype), gaze.to(dtype)).item()
    assert value == pytest.approx(expected, rel=1e-12 if dtype == torch.float64 else 1e-6)


def test_gradient_is_attention_minus_gaze():
    logits, log_attention, gaze = random_case()
    gaze_regularizer(log_attention, gaze).backward()
    expected = (log_attention.exp() - gaze[:, None]) / 12
    torch.testing.assert_close(logits.grad, expected.detach(), rtol=1e-10, atol=1e-14)
    assert logits.grad.abs().max() > 1e-2


def test_gradient_is_that_of_finite_differences():
    logits, _, gaze = random_case(2, 2, 5)
    frames = torch.tensor([0, 0, 1, 1, 1])
    for options in ({}, {"frame_of_token": frames}, {"reverse": True}, {"frame_of_token": frames, "reverse": True}):
        assert torch.autograd.gradcheck(
            lambda x, options=options: gaze_regularizer(torch.log_softmax(x, -1), gaze, **options), logits
        )


HIDDEN = torch.finfo(torch.float32).min


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("frames", [None, torch.arange(VISUAL) % 3])
def test_gaze_on_tokens_that_a_row_does_not_see_is_no_target_for_it(reverse, frames):
    """Not 1e37, as a sum with the log of 0 would be: both are given what the row sees."""
    logits, _, gaze = random_case(batch=1)
    seen = torch.ones(1, 4, VISUAL, dtype=torch.bool)
    seen[0, 1, 6:] = False  # a window that cuts the rest away
    seen[0, 2] = False  # a row that sees nothing
    gaze[0, 6:] *= 3
    gaze[0, 9] = 0
    gaze /= gaze.sum()
    log_attention = torch.log_softmax(logits.masked_fill(~seen, HIDDEN), -1).masked_fill(~seen, HIDDEN)
    options = {"frame_of_token": frames, "reverse": reverse}
    value = gaze_regularizer(log_attention, gaze, **options)
    short = gaze[:, :6] / gaze[:, :6].sum()
    of_cut = gaze_regularizer(
        torch.log_softmax(logits[:, 1:2, :6], -1), short, frame_of_token=frames if frames is None else frames[:6],
        reverse=reverse,
    )  # fmt: skip
    of_whole = gaze_regularizer(torch.log_softmax(logits[:, [0, 3]], -1), gaze, **options)
    torch.testing.assert_close(value, (2 * of_whole + of_cut) / 3)
    value.backward()
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[~seen] == 0).all()
    blind = gaze_regularizer(torch.full_like(log_attention, HIDDEN), gaze, **options)
    assert blind.item() == 0


def test_masked_rows_do_not_count_and_long_answers_weigh_no_more():
    logits, log_attention, gaze = random_case()
    mask = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]])
    value = gaze_regularizer(log_attention, gaze, mask)
    per_window = [
        np.mean([kl_by_hand(gaze[b], log_attention[b, r].exp()) for r in range(int(mask[b].sum()))]) for b in range(3)
    ]
    assert value.item() == pytest.approx(np.mean(per_window), rel=1e-12)
    value.backward()
    assert (logits.grad[mask == 0] == 0).all()
    assert (logits.grad[mask == 1] != 0).any(dim=-1).all()


def test_windows_without_gaze_are_left_out():
    logits, log_attention, gaze = random_case()
    without = gaze.clone()
    without[1] = 0
    value = gaze_regularizer(log_attention, without)
    assert value.item() == pytest.approx(gaze_regularizer(log_attention[[0, 2]], gaze[[0, 2]]).item(), rel=1e-12)
    value.backward()
    assert (logits.grad[1] == 0).all()
    assert (logits.grad[[0, 2]] != 0).any()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("frames", [None, torch.arange(VISUAL) // 5])
def test_without_any_gaze_it_is_exactly_zero_and_still_trains(frames, reverse):
    logits, log_attention, gaze = random_case()
    value = gaze_regularizer(log_attention, torch.zeros_like(gaze), frame_of_token=frames, reverse=reverse)
    assert value.item() == 0
    assert value.requires_grad
    value.backward()
    assert (logits.grad == 0).all()


def test_one_kl_per_frame_against_float64_by_hand():
    _, log_attention, gaze = random_case()
    frames = torch.tensor([0] * 5 + [1] * 5 + [2] * 5)
    gaze = gaze.clone()
    gaze[0, 5:10] = 0  # no gaze on the middle frame: the average is over the other two
    gaze[0] /= gaze[0].sum()

    def conditioned(p, frame):
        return p[frames == frame] / p[frames == frame].sum()

    def window(b):
        present = [f for f in range(3) if gaze[b, frames == f].sum() > 0]
        return np.mean(
            [
                kl_by_hand(conditioned(gaze[b], f), conditioned(log_attention[b, r].detach().exp(), f))
                for f in present
                for r in range(4)
            ]
        )

    value = gaze_regularizer(log_attention, gaze, frame_of_token=frames).item()
    assert value == pytest.approx(np.mean([window(b) for b in range(3)]), rel=1e-10)
    # A different quantity from the joint one, which also says how much each frame gets.
    assert value != pytest.approx(gaze_regularizer(log_attention, gaze).item(), rel=1e-2)


def test_reverse_kl_against_float64_by_hand():
    _, log_attention, gaze = random_case()
    expected = np.mean([kl_by_hand(log_attention[b, r].exp(), gaze[b]) for b in range(3) for r in range(4)])
    assert gaze_regularizer(log_attention, gaze, reverse=True).item() == pytest.approx(expected, rel=1e-10)


def test_attention_that_has_vanished_under_gaze_stays_finite():
    logits = torch.zeros(1, 1, 4, requires_grad=True)
    log_attention = torch.log_softmax(logits + torch.tensor([0.0, 0, 0, -1e4]), dim=-1)
    value = gaze_regularizer(log_attention, torch.tensor([[0.0, 0, 0, 1]]))
    value.backward()
    assert value.item() == pytest.approx(1e4, rel=1e-3)
    assert torch.isfinite(logits.grad).all()

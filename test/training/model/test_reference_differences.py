"""What the method's published code computes in place of the paper's formulas, each against ours on a small case.

docs/method.md lists them. The faults are restated here from their description, in as few lines as show them.
"""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gaze_vlm_ros.gaze.distribution import patch_distribution
from gaze_vlm_ros.windows.cutting import cut_windows
from training.data.split import split_sessions
from training.evaluation import metrics
from training.model.loss import gaze_regularizer
from training.settings import Settings

SIDE, WIDTH, HEIGHT = 16, 640, 480  # patches a side, px
X, Y = np.linspace(0, WIDTH, SIDE + 1), np.linspace(0, HEIGHT, SIDE + 1)
BOXES = np.array([[X[c], Y[r], X[c + 1], Y[r + 1]] for r in range(SIDE) for c in range(SIDE)])
SIGMA_PX = 64.0


def gaze_at(x: float, y: float) -> torch.Tensor:
    return torch.tensor(patch_distribution(np.array([[x, y]]), np.ones(1), BOXES, SIGMA_PX))


def kl(p: torch.Tensor, q: torch.Tensor) -> float:
    """nats, of two positive distributions."""
    return float((p * (p.log() - q.log())).sum())


def test_a_softmax_over_distributions_makes_every_gaze_look_like_no_gaze() -> None:
    gaze, uniform = gaze_at(200, 100).clamp(min=1e-12), torch.full((SIDE**2,), SIDE**-2.0, dtype=torch.float64)
    ours = gaze_regularizer(uniform.log()[None, None], gaze[None]).item()
    assert ours == pytest.approx(kl(gaze, uniform), abs=1e-6)
    assert ours > 1.5
    # Two probability vectors through log_softmax, and log_target=True to make them fit.
    again = uniform.log_softmax(-1)[None], gaze.log_softmax(-1)[None]
    theirs = F.kl_div(*again, log_target=True, reduction="batchmean").item()
    assert 0 < theirs < 1e-4
    assert theirs / SIDE**2 < 1e-6  # averaged over the patches too, as kl_div's default does

    # Its gradient is of no use either: a ten-thousandth of the right one.
    logits = torch.zeros(SIDE**2, dtype=torch.float64, requires_grad=True)
    gaze_regularizer(logits.log_softmax(-1)[None, None], gaze[None]).backward()
    assert logits.grad is not None
    right = logits.grad.norm().item()
    assert right == pytest.approx((uniform - gaze).norm().item())
    logits.grad = None
    attention = logits.softmax(-1)
    F.kl_div(attention.log_softmax(-1)[None], again[1], log_target=True, reduction="batchmean").backward()
    assert logits.grad.norm().item() < 1e-3 * right


def test_log_target_takes_probabilities_for_their_logarithms() -> None:
    uniform = torch.full((1, 15), -math.log(15), dtype=torch.float64)
    gaze = F.one_hot(torch.tensor([4]), 15).double()
    assert gaze_regularizer(uniform[None], gaze).item() == pytest.approx(math.log(15), abs=1e-12)
    theirs = F.kl_div(uniform, gaze, log_target=True, reduction="batchmean").item()
    assert theirs > 10 * math.log(15)


def test_columns_of_the_patch_map_are_all_there() -> None:
    """Without its columns a map cannot tell left from right."""
    left, right = gaze_at(150, 240), gaze_at(490, 240)
    assert kl(left, right) > 5
    rows = [gaze.reshape(SIDE, SIDE).sum(dim=1) for gaze in (left, right)]
    assert kl(*rows) == pytest.approx(0, abs=1e-9)
    assert left.reshape(SIDE, SIDE).sum(dim=0).argmax() == 3
    assert right.reshape(SIDE, SIDE).sum(dim=0).argmax() == 12


def test_gaze_at_the_top_lies_on_the_upper_patches() -> None:
    """y counts from the top, once. Flipped, the very same gaze leads attention to the other end of the picture."""
    top = gaze_at(320, 60).reshape(SIDE, SIDE)
    assert top[: SIDE // 2].sum() > 0.99
    assert kl(top.flatten(), top.flip(0).flatten().clamp(min=1e-300)) > 10


def test_an_answer_in_the_input_is_half_right_by_itself() -> None:
    """Scored token by token behind the true ones, a model that says one thing always seems to know what it cannot."""
    answers = [f"take the {colour} {thing}".split() for colour in ("red", "blue") for thing in ("mug", "jar", "box")]
    always = answers[0]
    teacher_forced = np.mean([[a == b for a, b in zip(always, answer, strict=True)] for answer in answers])
    assert teacher_forced > 0.7
    scores = np.tile([[1.0, 0, 0, 0, 0, 0]], (6, 1))  # what it thinks of each whole answer, whatever is shown
    assert metrics.top_k_hits(scores, np.arange(6), 1).mean() == pytest.approx(1 / 6)


def session(number: int) -> Any:
    """20 s of a camera of 10 Hz, with an action each 2 s."""
    starts_ns = np.arange(1, 10) * 2_000_000_000
    return SimpleNamespace(
        name=f"s{number}",
        frames=SimpleNamespace(stamps_ns=np.arange(200) * 100_000_000),
        labels=SimpleNamespace(starts_ns=starts_ns, texts=["take the mug"] * len(starts_ns)),
    )


def test_windows_of_one_video_are_never_on_both_sides() -> None:
    """Windows 0.2 s apart share most of their frames: drawn one by one, hardly a test window is new."""
    settings = Settings(stride_s=0.2, leads_s=(), frames=3, observation_s=2.0, horizon_s=2.0, validation=0.0, test=0.25)
    sessions = [session(number) for number in range(4)]
    windows = [window for number, one in enumerate(sessions) for window in cut_windows(number, one, settings)[0]]
    assert len(windows) > 50

    def seen(test: np.ndarray) -> float:
        """Share of test windows that show a moment which a training window shows too."""
        spans = [(w.session, w.at_ns - round(settings.observation_s * 1e9), w.at_ns) for w in windows]
        train = [span for span, held_out in zip(spans, test, strict=True) if not held_out]
        return np.mean(
            [
                any(s == other and start < last and first < end for other, first, last in train)
                for (s, start, end), held_out in zip(spans, test, strict=True)
                if held_out
            ]
        ).item()

    by_window = np.random.default_rng(0).random(len(windows)) < 0.25
    assert seen(by_window) > 0.95
    split = split_sessions(sessions, settings)
    assert len(split.test) == 1
    assert seen(np.array([window.session in split.test for window in windows])) == 0

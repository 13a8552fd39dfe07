from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from gaze_vlm_ros.prediction import calibration
from training.evaluation import metrics

SCORES = np.array([[0.0, -1.0, -2.0], [-1.0, 0.0, -2.0], [-3.0, -2.0, -1.0], [0.0, -1.0, -2.0]])
ANSWERS = np.array([0, 0, 2, 2])


def test_hits_and_recall_by_hand() -> None:
    assert metrics.top_k_hits(SCORES, ANSWERS, 1).tolist() == [True, False, True, False]
    assert metrics.top_k_hits(SCORES, ANSWERS, 2).tolist() == [True, True, True, False]
    frequent = np.array([True, True, True, False])
    assert metrics.class_mean_recall(frequent, np.array([0, 0, 0, 1])) == 0.5


def test_a_label_that_is_not_in_the_set_is_never_a_hit() -> None:
    assert metrics.top_k_hits(np.array([[0.0, 1.0], [0.0, 1.0]]), np.array([-1, 1]), 2).tolist() == [False, True]


def test_ranks_come_from_log_likelihoods_where_probabilities_underflow() -> None:
    scores = -1000.0 * np.arange(8)[None]
    assert metrics.probabilities(scores, 0.05)[0, 2] == 0
    assert [metrics.top_k_hits(scores, np.array([2]), k)[0] for k in (2, 3, 5)] == [False, True, True]
    assert metrics.negative_log_likelihood(scores, np.array([2]), 0.5) == pytest.approx(4000)


@pytest.mark.parametrize(("right", "sure"), [(True, (0.5, 0.9)), (False, (0.36, 0.5))])
def test_a_handful_of_windows_does_not_make_a_model_certain(right: bool, sure: tuple[float, float]) -> None:
    """Six windows that are all right, or all wrong, at 0.5: the likeliest temperatures are 0 and infinity."""
    few = np.tile(np.log([0.5, 0.3, 0.2]), (6, 1))
    truth = np.full(6, 0 if right else 1)
    published = metrics.probabilities(few, metrics.fit_temperature(few, truth)).max()
    assert sure[0] < published < sure[1]
    many = np.repeat(few, 100, axis=0)  # as many windows as outweigh any prior
    certain = metrics.probabilities(many, metrics.fit_temperature(many, np.repeat(truth, 100))).max()
    assert certain > 0.97 if right else certain < 0.37


def test_constant_scores_are_no_hit() -> None:
    assert not metrics.top_k_hits(np.zeros((5, 3)), np.array([0, 1, 2, 0, 1]), 1).any()


def test_probabilities_are_a_softmax_and_survive_large_numbers() -> None:
    p = metrics.probabilities(np.array([[-1000.0, -1000.0 + np.log(3.0)]]))
    assert p[0] == pytest.approx([0.25, 0.75])
    assert metrics.probabilities(np.array([[0.0, np.log(9.0)]]), 2.0)[0] == pytest.approx([0.25, 0.75])


def test_temperature_undoes_overconfidence() -> None:
    """Answers drawn from softmax(scores), then presented with scores three times as large."""
    generator = np.random.default_rng(0)
    scores = generator.normal(size=(20_000, 4)) * 2
    p = metrics.probabilities(scores)
    answers = (p.cumsum(axis=1) < generator.random((len(p), 1))).sum(axis=1)
    assert metrics.fit_temperature(3 * scores, answers) == pytest.approx(3.0, rel=0.03)
    sharp, fitted = (metrics.probabilities(3 * scores, t) for t in (1.0, 3.0))
    hits = p.argmax(axis=1) == answers
    assert calibration.calibration_error(fitted.max(axis=1), hits) < 0.02
    assert calibration.calibration_error(sharp.max(axis=1), hits) > 0.1


def test_calibration_error_by_hand() -> None:
    confidences = np.array([0.95, 0.95, 0.55, 0.55])
    hits = np.array([True, True, True, False])
    assert calibration.calibration_error(confidences, hits) == pytest.approx(0.05)
    assert calibration.reliability(confidences, hits)[2].tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 0, 2]


def test_thresholds_by_hand() -> None:
    """20 right answers, then as many wrong: 6 steps of risk 0.1/6, and (0.1/6)^(1/20) = 0.815 is sure of 20 of 20."""
    confidences = np.linspace(1.0, 0.5, 40)
    hits = np.arange(40) < 20
    assert metrics.selective_threshold(confidences, hits, 0.81) == (pytest.approx(confidences[19]), 0.5)
    assert metrics.selective_threshold(confidences, hits, 0.82) == (2.0, 0.0)
    assert metrics.selective_threshold(confidences, ~hits, 0.5) == (2.0, 0.0)
    assert metrics.selective_threshold(np.full(40, 0.9), hits, 0.3) == (0.9, 1.0)  # all of a tie, or none


def test_thresholds_keep_their_promise() -> None:
    """On many calibration sets drawn from one law, the true precision above the threshold is too low in few."""
    generator = np.random.default_rng(0)
    broken, given = 0, 0
    for _ in range(300):
        confidences = generator.random(300)
        threshold, share = metrics.selective_threshold(confidences, generator.random(300) < confidences, 0.7)
        given += share > 0
        broken += share > 0 and (1 + threshold) / 2 < 0.7  # mean of the confidences above it, which are true
    assert given > 250
    assert broken <= 30


@pytest.mark.parametrize(
    ("said", "wanted", "score"),
    [
        ("take the red cup", "Take the red cup.", 1.0),
        ("police kill the gunman", "police killed the gunman", 0.75),  # the examples of Lin 2004, section 3.1
        ("the gunman kill police", "police killed the gunman", 0.5),
        ("the red", "take the very red cup", 2 * 2 / (2 + 5)),  # words between do not matter, order does
        ("", "take the cup", 0.0),
        ("læg æblet", "læg pæren", 0.5),
    ],
)
def test_rouge_l_by_hand(said: str, wanted: str, score: float) -> None:
    assert metrics.rouge_l(said, wanted) == pytest.approx(score)
    assert metrics.rouge_l(wanted, said) == pytest.approx(score)


def test_semantic_scores_are_cosines_and_embed_each_text_once() -> None:
    asked: list[str] = []

    def embed(texts: Sequence[str]) -> NDArray[np.float64]:
        asked.extend(texts)
        angle = np.array([{"cup": 0.0, "mug": np.pi / 3, "ship": np.pi / 2}[text] for text in texts])
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)

    scores = metrics.semantic_scores(["cup", "mug", "ship", "cup"], ["cup", "cup", "cup", "ship"], embed)
    np.testing.assert_allclose(scores, [1, 0.5, 0, 0], atol=1e-12)
    assert sorted(asked) == ["cup", "mug", "ship"]


def test_bootstrap_draws_sessions_not_windows() -> None:
    """Ten sessions, each all right or all wrong: 2000 windows say no more than 10 coin tosses."""
    sessions = np.repeat(np.arange(10), 200)
    hits = np.repeat(np.arange(10) % 2, 200).astype(float)
    low, high = metrics.bootstrap_interval(sessions, lambda chosen: float(hits[chosen].mean()))
    assert low == pytest.approx(0.2, abs=0.1)
    assert high == pytest.approx(0.8, abs=0.1)
    assert np.isnan(metrics.bootstrap_interval(np.arange(4), lambda chosen: float(chosen.mean()))).all()
    assert np.isfinite(metrics.bootstrap_interval(np.arange(5), lambda chosen: float(chosen.mean()))).all()

import numpy as np
import pytest

from training.evaluation import attention_metrics


def test_attention_against_gaze_by_hand() -> None:
    gaze = np.array([0.5, 0.5, 0.0, 0.0])
    uniform = np.full(4, 0.25)
    assert attention_metrics.gaze_kl(gaze, uniform) == pytest.approx(np.log(2))
    assert attention_metrics.gaze_kl(gaze, gaze) == pytest.approx(0.0)
    assert attention_metrics.normalized_scanpath_saliency(gaze, gaze) == pytest.approx(1.0)
    assert attention_metrics.normalized_scanpath_saliency(gaze, uniform) == 0.0
    assert attention_metrics.attention_auc(gaze, uniform) == 0.5
    assert attention_metrics.attention_auc(gaze, np.array([0.4, 0.3, 0.2, 0.1])) == 1.0
    assert attention_metrics.attention_auc(gaze, np.array([0.1, 0.2, 0.3, 0.4])) == 0.0
    assert attention_metrics.top_k_overlap(gaze, np.array([0.4, 0.1, 0.3, 0.2]), 2) == 0.5


def test_windows_without_gaze_do_not_count() -> None:
    gaze = np.array([[0.0, 0.0], [1.0, 0.0]])
    attention = np.array([[0.5, 0.5], [0.5, 0.5]])
    assert attention_metrics.attention_scores(gaze, attention, 1)["kl"] == pytest.approx(np.log(2))
    assert np.isnan(attention_metrics.attention_scores(gaze[:1], attention[:1], 1)["kl"])

"""Scores of what goes on now, by hand."""

import math

import numpy as np
import pytest

from gaze_vlm_ros.labels.answer_words import NOTHING
from gaze_vlm_ros.prediction.now_scores import NowStream, now_of_sessions, now_table, score_now

# Two actions and nothing; right at moments 0, 1, 3 and 4.
TABLE = np.array([[0.7, 0.2], [0.3, 0.6], [0.5, 0.3], [0.2, 0.1], [0.1, 0.8], [0.4, 0.1]])
NOW = NowStream(
    np.array([0, 0, 0, 1, 1, 1]), TABLE, 1 - TABLE.sum(axis=1), np.array([0, 1, 1, NOTHING, 1, 0]), ("ada", "grace")
)


def test_each_score_by_hand() -> None:
    scores = score_now(NOW)
    assert scores["moments"] == 6
    assert scores["accuracy"] == pytest.approx(4 / 6)
    # Action 0, ranked 0.7 (right), 0.5, 0.4 (right): 1 and 2/3. Action 1, ranked 0.8, 0.6 (right), 0.3 (right): all.
    assert scores["mean_average_precision"] == pytest.approx(((1 + 2 / 3) / 2 + 1) / 2)
    assert scores["class_mean_recall"] == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    assert scores["most_frequent"] == pytest.approx(3 / 6)
    assert scores["nothing_share"] == pytest.approx(1 / 6)
    expected = -np.log([0.7, 0.6, 0.3, 0.7, 0.8, 0.4]).mean()
    assert scores["negative_log_likelihood"] == pytest.approx(expected)
    assert scores["persons"] == 2
    low, high = scores["intervals"]["negative_log_likelihood"]
    assert low < expected < high


def test_a_single_session_has_no_interval_and_none_has_no_score() -> None:
    one = score_now(now_of_sessions(NOW, np.array([1])))
    assert one["accuracy"] == pytest.approx(2 / 3)
    assert one["intervals"]["accuracy"] == [None, None]
    none = score_now(now_of_sessions(NOW, np.array([7])))
    assert none["moments"] == 0
    assert none["accuracy"] is None
    assert "0.67" in now_table({"s": one, "none": none})


def test_without_any_action_there_is_no_precision() -> None:
    scores = score_now(
        NowStream(np.zeros(2, np.int64), TABLE[:2], 1 - TABLE[:2].sum(axis=1), np.full(2, NOTHING), ("a",))
    )
    assert scores["mean_average_precision"] is None
    assert scores["accuracy"] == 0.0
    assert not math.isnan(scores["negative_log_likelihood"])

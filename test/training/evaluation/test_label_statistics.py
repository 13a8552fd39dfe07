import numpy as np
import pytest

from gaze_vlm_ros.labels.label_set import collect_labels
from gaze_vlm_ros.labels.track import LabelTrack
from training.evaluation.label_statistics import mean_time_to_start, moments, other_share, time_to_start_error

AB = collect_labels([("a", "", ""), ("b", "", "")])


def track(*labels: tuple[float, str]) -> LabelTrack:
    """Each label with its start, s."""
    texts = [text for _, text in labels]
    return LabelTrack(np.array([round(1e9 * start) for start, _ in labels]), texts, texts, texts)


def test_moments_before_actions_by_hand() -> None:
    """0 to 3 s, horizon 1 s: "b" may be said from 1 s on; rest and unheard-of labels are none of the answers."""
    found = moments([track((0.0, "a"), (2.0, "b"), (2.5, ""), (3.0, "unheard of"))], AB, "future", 1.0)
    assert found.answers.tolist() == 10 * [-1] + 10 * [1] + 10 * [-1]
    assert found.to_start_s[10:20] == pytest.approx(np.arange(1.0, 0.0, -0.1))
    assert other_share(found) == pytest.approx(2 / 3)
    assert mean_time_to_start(found, 2) == (0.55, 0.55)  # "a" never comes: the mean of all
    assert time_to_start_error(found, (9.0, 0.55)) == pytest.approx(0.25)


def test_moments_within_actions() -> None:
    found = moments([track((0.0, "a"), (0.5, ""), (0.7, "b"), (1.0, "a"))], AB, "current", 1.0)
    assert found.answers.tolist() == 5 * [0] + 2 * [-1] + 3 * [1]
    assert other_share(found) == pytest.approx(0.2)
    assert mean_time_to_start(found, 2) == ()
    assert time_to_start_error(found, ()) is None


def test_no_moment_is_between_one_label_and_itself() -> None:
    found = moments([track((0.0, "a")), track()], collect_labels([("a", "", "")]), "future", 1.0)
    assert other_share(found) is None
    assert mean_time_to_start(found, 1) == ()

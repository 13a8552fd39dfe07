import math

import numpy as np
import pytest

from gaze_vlm_ros.prediction.smoothing import PredictionSmoother

S = 1_000_000_000


def test_equal_answers_make_it_no_more_certain() -> None:
    """Overlapping windows are not independent: a hundred of them say what one says."""
    smoother = PredictionSmoother()
    for number in range(100):
        smoothed = smoother.update(number * S // 10, np.array([0.6, 0.3, 0.1]))
        np.testing.assert_allclose(smoothed.probabilities, [0.6, 0.3, 0.1], rtol=1e-12)
    assert (smoothed.best, smoothed.changed, smoothed.other_probability) == (0, False, None)


def test_the_mean_of_logs_decays_in_time_whatever_the_rate() -> None:
    first, then = np.array([0.8, 0.2]), np.array([0.4, 0.6])
    for steps in (1, 4, 10):
        smoother = PredictionSmoother(decay_s=0.5, switch_ratio=1.0)
        smoother.update(0, first)
        for step in range(1, steps + 1):
            smoothed = smoother.update(step * S // (2 * steps), then)
        # After 0.5 s the first answer weighs 1/e.
        logs = math.exp(-1) * np.log(first) + (1 - math.exp(-1)) * np.log(then)
        np.testing.assert_allclose(smoothed.probabilities, np.exp(logs) / np.exp(logs).sum(), rtol=1e-6)


def test_without_decay_it_is_the_last_answer() -> None:
    smoother = PredictionSmoother(decay_s=0.0, switch_ratio=1.0)
    smoother.update(0, np.array([0.9, 0.1]), 0.0)
    smoothed = smoother.update(S // 10, np.array([0.1, 0.7]), 0.2)
    np.testing.assert_allclose([*smoothed.probabilities, smoothed.other_probability], [0.1, 0.7, 0.2], rtol=1e-12)
    assert (smoothed.best, smoothed.changed) == (1, True)


def test_the_best_changes_only_when_another_is_clearly_better() -> None:
    smoother = PredictionSmoother(decay_s=0.0, switch_ratio=1.5)
    bests = []
    for number, share in enumerate([0.6, 0.45, 0.55, 0.41, 0.39, 0.55, 0.61]):
        smoothed = smoother.update(number * S // 10, np.array([share, 1 - share]))
        bests.append((smoothed.best, smoothed.changed))
    assert bests == [
        (0, True), (0, False), (0, False), (0, False), (1, True), (1, False), (0, True),
    ]  # fmt: skip


def test_one_window_that_errs_does_not_veto() -> None:
    smoother = PredictionSmoother(decay_s=0.5)
    for number in range(10):
        smoother.update(number * S // 10, np.array([0.9, 0.1]))
    assert smoother.update(S, np.array([0.0, 1.0])).best == 0


@pytest.mark.parametrize("stamp_ns", [0, 4 * S, 30 * S], ids=["begins again", "set back", "gap"])
def test_a_jump_in_time_starts_anew(stamp_ns: int) -> None:
    smoother = PredictionSmoother(decay_s=0.5, switch_ratio=100.0)
    for number in range(10):
        smoother.update(5 * S + number * S // 10, np.array([0.9, 0.1]))
    smoothed = smoother.update(stamp_ns, np.array([0.4, 0.6]))
    np.testing.assert_allclose(smoothed.probabilities, [0.4, 0.6], rtol=1e-12)
    assert (smoothed.best, smoothed.changed) == (1, True)


def test_none_of_them_is_an_answer_of_its_own_and_never_the_best() -> None:
    smoother = PredictionSmoother(threshold=0.3)
    smoothed = smoother.update(0, np.array([0.2, 0.1]), 0.7)
    assert smoothed.other_probability == pytest.approx(0.7)
    assert (smoothed.best, smoothed.certain) == (0, False)
    smoother.threshold = 0.15
    assert smoother.update(S, np.array([0.2, 0.1]), 0.7).certain


def test_generated_texts_are_known_by_name() -> None:
    smoother = PredictionSmoother(decay_s=0.5)
    smoother.update(0, np.array([0.6, 0.3]), 0.1, ("take the mug", "wait"))
    smoothed = smoother.update(S // 10, np.array([0.5, 0.4]), 0.1, ("wait", "take the mug"))
    assert (smoothed.best, smoothed.changed) == (1, False)
    assert smoother.update(2 * S // 10, np.array([0.9]), 0.1, ("pour",)).changed

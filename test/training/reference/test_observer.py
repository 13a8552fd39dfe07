"""The ceiling: against a case computed by hand, and what an observer must and must not know."""

import dataclasses

import numpy as np
import pytest
from scipy.special import ndtr

from gaze_vlm_ros.prediction.stream_scores import joint_losses
from gaze_vlm_ros.sim.bench2_rates import BENCH_2
from training.reference.models import MODELS
from training.reference.observer import CEILINGS, Sees, ceiling
from training.reference.seen import Question, Seen, believed, lead_rows, sessions_of, stream_rows

QUESTION = Question()
BLIND = CEILINGS["ceiling: clock"]
MARGIN = 0.05  # nats a moment: what few particles cost


def a_session(seed: int = 1000, **changes: object) -> Seen:
    return sessions_of(2, [seed], **changes)[0]


def test_one_who_sees_nothing_waits_as_computed_by_hand() -> None:
    """Waits are log-normal and reaches take exactly 1 s, so the next start within 2 s of a moment has the chance

    P(wait <= t + 2 - 1 | wait > t - 1), where t is the time since the wait began: the session's beginning.
    """
    rates = dataclasses.replace(
        BENCH_2, leave_share=0.0, pause_share=0.0, change_share=0.0, withdraw_share=0.0, pace=(1.0, 1.0 + 1e-9),
        near_share=1.0, reach_s=(1.0, 1.0 + 1e-9), reach_sigma=1e-9, fidget_rate_hz=1e-9, wait_median_s=3.0,
    )  # fmt: skip
    seen = a_session(1002, duration_s=20)
    assert seen.settings.task == "tidy"
    rows = np.arange(5, int(seen.actions.starts_s[0] * 10) - 1, 5)
    assert len(rows) >= 4
    table = ceiling(seen, rows, BLIND, dataclasses.replace(MODELS[2], rates=rates), QUESTION, particles=4000)

    def by(wait_s: float) -> float:
        return float(ndtr(np.log(max(wait_s, 1e-9) / 3.0) / rates.wait_sigma))

    expected = [(by(t + 1) - by(t - 1)) / (1 - by(t - 1)) for t in seen.times_s[rows]]
    np.testing.assert_allclose(1 - table.nothing, expected, atol=0.03)
    # Each object by its odds, which do not depend on its place in this task.
    shares = table.begins.sum(axis=2) / table.begins.sum(axis=(1, 2))[:, None]
    np.testing.assert_allclose(shares, 1 / 6, atol=0.03)  # drawn 1000 times and more


def test_a_hand_that_is_nearly_there_names_the_object() -> None:
    seen = a_session(1001, duration_s=15)
    rows, actions = lead_rows(seen, 0.1, QUESTION)
    table = ceiling(seen, rows, CEILINGS["ceiling: hand and sign"], MODELS[2], QUESTION, particles=150)
    assert table.begins.sum(axis=2).argmax(axis=1).tolist() == actions.tolist()


@pytest.mark.parametrize("name", CEILINGS)
def test_beliefs_are_probabilities_and_depend_on_nothing_later(name: str) -> None:
    seen, other = a_session(1002, duration_s=12), a_session(1003, duration_s=12)
    rows = np.arange(30, 60, 5)
    cut = {
        field: np.concatenate([getattr(seen, field)[:60], getattr(other, field)[60:]])
        for field in ("places", "hand", "head", "camera", "hint", "doing", "ended_s", "gaze")
    }
    mixed = dataclasses.replace(seen, **cut)
    first, second = (ceiling(each, rows, CEILINGS[name], MODELS[2], QUESTION, particles=40) for each in (seen, mixed))
    np.testing.assert_array_equal(first.begins, second.begins)
    np.testing.assert_allclose(first.begins.sum(axis=(1, 2)) + first.nothing, 1.0)
    assert first.begins.min() > 0


def test_what_is_not_looked_at_changes_nothing() -> None:
    seen = a_session(1002, duration_s=10)
    rows = np.arange(30, 60, 10)
    sees = Sees(head=False)
    plain = ceiling(seen, rows, sees, MODELS[2], QUESTION, particles=40)
    blind = dataclasses.replace(seen, gaze=np.zeros_like(seen.gaze), head=np.zeros_like(seen.head))
    np.testing.assert_array_equal(ceiling(blind, rows, sees, MODELS[2], QUESTION, particles=40).begins, plain.begins)


def test_a_sign_that_has_not_changed_since_the_last_take_says_nothing() -> None:
    honest, last = MODELS[2].sign(False, np.array([0.5, 5.0]))
    assert last.tolist() == [0.0, 0.0]
    honest, last = MODELS[2].sign(True, np.array([0.0, 2.0]))
    np.testing.assert_allclose(last, [1.0, np.exp(-1.0)])  # a change every 2 s on average
    assert 0.5 < honest < 0.65


def test_head_and_gaze_make_an_observer_no_worse() -> None:
    """With few particles and sessions: docs/bench.md has the figures of many."""
    sessions = sessions_of(2, range(1000, 1003), duration_s=25.0)
    loss = {}
    for name, sees in list(CEILINGS.items())[1:]:
        tables = [ceiling(seen, stream_rows(seen, QUESTION), sees, MODELS[2], QUESTION, 150) for seen in sessions]
        loss[name] = float(joint_losses(believed(sessions, tables, QUESTION)).mean())
    hand, head, gaze = loss.values()
    assert head < hand + MARGIN
    assert gaze < hand + MARGIN

"""When a planner may act on a prediction, check by check, without ROS."""

import math
from types import SimpleNamespace
from typing import Any

import pytest

from gaze_vlm_ros.planning import PredictionFollower, identity_of, patience_s, predicate_of, why_not

S = 1_000_000_000
NOW_NS = 1_700_000_000 * S


def stamp(ns: int) -> SimpleNamespace:
    return SimpleNamespace(sec=ns // S, nanosec=ns % S)


def candidate(text: str = "take the mug", probability: float = 0.9, **fields: Any) -> SimpleNamespace:
    values = {"action_id": text, "text": text, "verb": "take", "object_class": "mug", "probability": probability}
    return SimpleNamespace(**values | fields)


def prediction(
    *candidates: SimpleNamespace, age_s: float = 0.1, valid_s: float = 2.0, at_ns: int = NOW_NS, **fields: Any
) -> SimpleNamespace:
    stamp_ns = at_ns - round(age_s * S)
    values: dict[str, Any] = {
        "header": SimpleNamespace(stamp=stamp(stamp_ns)), "valid_until": stamp(stamp_ns + round(valid_s * S)),
        "status": 0, "status_text": "", "score_kind": 0, "nothing_probability": math.nan, "revision": 7,
        "model_id": "bench@12345678", "label_set_id": "abc", "candidates": list(candidates or [candidate()]),
    }  # fmt: skip
    return SimpleNamespace(**values | fields)


def info(rate_hz: float = 5.0, model_id: str = "bench@12345678") -> SimpleNamespace:
    return SimpleNamespace(model_id=model_id, rate=rate_hz)


NO_CANDIDATES: dict[str, Any] = {"candidates": []}


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (prediction(), ""),
        (prediction(score_kind=1), ""),
        (prediction(status=2, status_text="no frame for 1 s"), "the predictor says: no frame for 1 s"),
        (prediction(status=1), "the predictor says: ABSTAIN"),
        (prediction(status=99), "the predictor says: status 99"),
        (prediction(**NO_CANDIDATES), "the predictor says: OK"),
        (prediction(age_s=2.0), ""),
        (prediction(age_s=2.5), "it expired 0.5 s ago"),
        (prediction(age_s=-0.4), ""),
        (prediction(age_s=-60.0), "it is stamped 60.0 s after now: the clocks of camera and planner differ"),
        (prediction(score_kind=2), "its scores are not probabilities"),
        (prediction(candidate(probability=0.7)), ""),
        (prediction(candidate(probability=0.6)), "'take the mug' has a probability of only 0.60"),
        (prediction(candidate(probability=math.nan)), "'take the mug' has a probability of only nan"),
        # The model's own thresholds decided on OK.
        (prediction(candidate(probability=0.2), nothing_probability=0.3), ""),
        (prediction(candidate(probability=0.2), nothing_probability=0.0),
         "'take the mug' has a probability of only 0.20"),
    ],
)  # fmt: skip
def test_each_check(message: SimpleNamespace, why: str) -> None:
    assert why_not(message, NOW_NS, 0.7) == why


@pytest.mark.parametrize(
    "other",
    [{"revision": 8}, {"model_id": "bench@87654321"}, {"label_set_id": "abd"}, {"candidates": [candidate("take it")]}],
)
def test_what_differs_in_any_part_is_another_answer(other: dict[str, Any]) -> None:
    assert identity_of(prediction()) == identity_of(prediction(candidate(probability=0.8), age_s=1.0))
    assert identity_of(prediction()) != identity_of(prediction(**other))
    assert identity_of(prediction(**NO_CANDIDATES)).action_id == ""


def test_a_follower_keeps_what_holds_and_lets_it_go_when_it_expires() -> None:
    follower = PredictionFollower(silence_s=100.0)
    assert follower.update(NOW_NS, 0.0).why == "no prediction has come"
    first = prediction()
    follower.hear(first, 0.0)
    assert follower.update(NOW_NS, 0.0).prediction is first
    newer = prediction(at_ns=NOW_NS + S)
    follower.hear(newer, 1.0)
    held = follower.update(NOW_NS + S, 1.0)
    assert (held.prediction, held.why) == (newer, "")
    assert follower.update(NOW_NS + 4 * S, 4.0).why == "it expired 1.1 s ago"


@pytest.mark.parametrize(
    ("other", "why"),
    [
        # A planner that was busy saw 2 "mug", and then 2 "jar" of another activation.
        (prediction(candidate("take the jar")), "the person will take the jar instead"),
        (prediction(revision=9), "'take the mug' is another answer than the one before"),
        (prediction(model_id="other@1"), "'take the mug' is another answer than the one before"),
    ],
)
def test_another_answer_first_ends_the_one_before(other: SimpleNamespace, why: str) -> None:
    follower = PredictionFollower(silence_s=100.0)
    follower.hear(prediction(), 0.0)
    assert follower.update(NOW_NS, 0.0).prediction is not None
    follower.hear(other, 0.1)
    ended = follower.update(NOW_NS, 0.1)
    assert (ended.prediction, ended.why) == (None, why)
    assert follower.update(NOW_NS, 0.1).prediction is other


def test_silence_ends_it_long_before_its_validity() -> None:
    """The predictor was killed: a robot went on for the whole validity, 14.9 s, where 1.5 / rate_hz is promised."""
    follower = PredictionFollower()
    follower.learn(info(5.0))
    follower.hear(prediction(valid_s=15.0), 10.0)
    assert follower.update(NOW_NS, 10.29).prediction is not None
    assert "no prediction came for 0.31 s, more than 0.30 s" in follower.update(NOW_NS, 10.31).why
    follower.hear(prediction(valid_s=15.0), 10.4)
    assert follower.update(NOW_NS, 10.4).prediction is not None
    follower.learn(info(0.5))  # the rate was changed
    assert follower.update(NOW_NS, 13.3).prediction is not None
    assert follower.update(NOW_NS, 13.5).prediction is None


def test_how_long_silence_is_normal_is_known_of_this_model() -> None:
    follower = PredictionFollower()
    follower.learn(info(5.0, "another"))
    follower.hear(prediction(), 0.0)
    assert follower.update(NOW_NS, 0.0).why == (
        "no model_info of bench@12345678 has come, which says how often predictions come"
    )
    follower.learn(info(0.0))
    assert follower.update(NOW_NS, 0.0).prediction is None
    follower.learn(info())
    assert follower.update(NOW_NS, 0.0).prediction is not None
    assert patience_s(1.0) == 1.5
    assert patience_s(100.0) == 0.1


def test_what_the_planner_has_nothing_to_do_for_does_not_hold() -> None:
    follower = PredictionFollower(lambda best: bool(best.action_id == "take the jar"), silence_s=1.0)
    follower.hear(prediction(), 0.0)
    assert follower.update(NOW_NS, 0.0).why == "nothing to do for 'take the mug'"


@pytest.mark.parametrize(
    ("given", "objects", "predicate"),
    [
        (candidate(), (), "(person_will_take mug)"),
        (candidate(object_class="Red  mug!", verb="pick up"), (), "(person_will_pick_up red_mug)"),
        (candidate(), ("mug", "jar"), "(person_will_take mug)"),
        (candidate(), ("jar",), ""),
        (candidate(verb="", object_class=""), ("jar",), "(person_will take_the_mug)"),
        (candidate(object_class="3d print"), (), "(person_will_take x_3d_print)"),
    ],
)
def test_a_candidate_as_a_predicate(given: SimpleNamespace, objects: tuple[str, ...], predicate: str) -> None:
    assert predicate_of(given, objects) == predicate

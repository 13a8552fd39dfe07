"""The answer that a planner acts on: taken up, kept while it holds, and dropped, with the reason."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gaze_vlm_ros.planning.rules import LEAST_PROBABILITY, identity_of, patience_s, why_not


@dataclass(frozen=True)
class Following:
    """What a planner acts on at one moment."""

    prediction: Any | None  # the newest message of the answer that holds; None = nothing holds
    why: str  # why nothing holds; "" where something does


class PredictionFollower:
    """Decides which answer holds, from the messages of `next_action` and `model_info`.

    An answer that is acted on ends before another one begins, also where both name the same action: `update` then says
    once that nothing holds, and takes up the new one at the next call. A planner that was busy may have missed the
    messages in between, in which the person did something else.
    Times: `now_ns` is ROS time, by which predictions are stamped; `at_s` a clock that never jumps, for silence.
    """

    def __init__(
        self,
        wanted: Callable[[Any], bool] = lambda _: True,
        least_probability: float = LEAST_PROBABILITY,
        silence_s: float = 0.0,
    ) -> None:
        """wanted: whether the planner has something to do for this best candidate (an ActionCandidate).

        least_probability: see rules.why_not. silence_s: time without a message after which nothing holds; 0 = 1.5 /
        the rate that `model_info` gives, as the predictor promises.
        """
        self._wanted, self._least, self._silence_s = wanted, least_probability, silence_s
        self._rates_hz: dict[str, float] = {}  # by model_id
        self._newest: Any | None = None
        self._heard_s = -math.inf
        self._acting_on: Any | None = None

    def learn(self, model_info: Any) -> None:
        """Take a ModelInfo: how often the predictor of this model answers."""
        self._rates_hz[model_info.model_id] = float(model_info.rate)

    def hear(self, prediction: Any, at_s: float) -> None:
        """Take an ActionPrediction that has just come."""
        self._newest, self._heard_s = prediction, at_s

    def update(self, now_ns: int, at_s: float) -> Following:
        """Return what holds now."""
        why = self._why_not(now_ns, at_s)
        if not why and self._acting_on is not None and identity_of(self._newest) != self._acting_on:
            why = self._other_answer()
        self._acting_on = None if why else identity_of(self._newest)
        return Following(None if why else self._newest, why)

    def _other_answer(self) -> str:
        assert self._newest is not None
        assert self._acting_on is not None
        text, before = self._newest.candidates[0].text, self._acting_on.action_id
        same = self._newest.candidates[0].action_id == before
        return f"'{text}' is another answer than the one before" if same else f"the person will {text} instead"

    def _why_not(self, now_ns: int, at_s: float) -> str:
        if self._newest is None:
            return "no prediction has come"
        if reason := why_not(self._newest, now_ns, self._least):
            return reason
        if (patience := self._patience_s()) is None:
            return f"no model_info of {self._newest.model_id} has come, which says how often predictions come"
        silence_s = at_s - self._heard_s
        if silence_s > patience:
            return (
                f"no prediction came for {silence_s:.2f} s, more than {patience:.2f} s: the predictor ended, or its "
                "computer is overloaded"
            )
        best = self._newest.candidates[0]
        return "" if self._wanted(best) else f"nothing to do for '{best.text}'"

    def _patience_s(self) -> float | None:
        """Silence that is allowed, s; None = not known yet."""
        if self._silence_s:
            return self._silence_s
        assert self._newest is not None
        rate_hz = self._rates_hz.get(self._newest.model_id, 0.0)
        return patience_s(rate_hz) if rate_hz > 0 else None

"""Rules of a prediction message: which status and text hold now, and when the next message is due. No ROS here."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass

from gaze_vlm_ros.prediction.types import WITH_CANDIDATES, AnsweredObservation, Problem, Status

# Publish the heartbeat soon after an answer was due: one that is slightly late speaks for itself, and a planner that
# counts the node as dead after 1.5 cycles (planning.rules) must have it before, transport included.
HEARTBEAT_CYCLES = 1.1
REVISIONS = 1 << 32  # a uint32
AHEAD_S = 0.5  # a frame that is stamped so long after now has another clock than this node


@dataclass(frozen=True)
class PredictorState:
    """Everything that decides the status at one moment."""

    now_ns: int  # by the clock that frames are stamped with
    newest_ns: int | None  # stamp of the newest frame; None = no frame yet
    silence_s: float  # since the newest frame arrived; infinite before the first
    problem: Problem | None  # of the newest query, where it has no answer
    answered: AnsweredObservation | None  # the newest answer


@dataclass(frozen=True)
class Limits:
    """Conditions that an answer must meet."""

    threshold: float  # least probability of the best candidate; above 1 = nothing promises target_precision
    target_precision: float  # 0 = not requested
    valid_s: float  # an answer expires this long after its last frame
    stale_after_s: float  # input is stale after this time without a frame
    task: str = "future"  # of the checkpoint


@dataclass(frozen=True)
class CurrentStatus:
    """Status and text of a message, and the stamp of the frame that it is about (0 = none)."""

    status: Status
    text: str
    stamp_ns: int


def current_status(state: PredictorState, limits: Limits, camera_topic: str, model_id: str) -> CurrentStatus:
    """Status that holds now. The first rule that applies wins; they stand in the order of their urgency."""
    problem, answered = state.problem, state.answered
    if state.newest_ns is None:
        if problem is not None:
            return CurrentStatus(problem.status, problem.text, problem.stamp_ns)
        return CurrentStatus(Status.NO_INPUT, f"no frame on {camera_topic} yet", 0)
    if state.silence_s > limits.stale_after_s:
        text = f"the last frame came {state.silence_s:.1f} s ago"
        return CurrentStatus(Status.STALE_INPUT, text, state.newest_ns)
    if problem is not None:
        return CurrentStatus(problem.status, problem.text, problem.stamp_ns)
    if answered is None:
        return CurrentStatus(Status.NO_INPUT, "the first observation is not answered yet", 0)
    age_s = state.now_ns / 1e9 - answered.stamp_ns / 1e9
    if age_s < -AHEAD_S:
        text = (
            f"the newest answered frame is stamped {-age_s:.1f} s after now: camera and robot have different clocks; "
            "synchronize them, and check use_sim_time of both"
        )
        return CurrentStatus(Status.STALE_INPUT, text, state.newest_ns)
    if age_s > limits.valid_s:
        text = (
            f"the newest answered frame is stamped {age_s:.1f} s before now, and answers expire after "
            f"{limits.valid_s:g} s: the model is too slow, or camera and robot have different clocks"
        )
        return CurrentStatus(Status.STALE_INPUT, text, state.newest_ns)
    return answer_status(answered, limits, model_id)


def valid_for_s(state: PredictorState, limits: Limits) -> float:
    """Return how long after its last frame the newest answer may be used, s: no answer is valid past now + valid_s."""
    if state.answered is None:
        return limits.valid_s
    return limits.valid_s - max(0.0, (state.answered.stamp_ns - state.now_ns) / 1e9)


def answer_status(answered: AnsweredObservation, limits: Limits, model_id: str) -> CurrentStatus:
    """OK, or ABSTAIN where the best candidate is below the threshold.

    An answer that says what and when is OK where the two thresholds give it; without them, where the action is more
    probable than that nothing begins. NOTHING: most probably nothing begins.
    """
    best = float(answered.smoothed.probabilities[answered.smoothed.best])
    if belief := answered.smoothed.belief:
        if answered.smoothed.certain:
            return CurrentStatus(Status.OK, "", answered.stamp_ns)
        if belief.nothing > 0.5:
            return CurrentStatus(Status.NOTHING, nothing_text(belief.nothing), answered.stamp_ns)
    elif (nothing := answered.answer.nothing_probability or 0.0) > best:
        return CurrentStatus(Status.NOTHING, nothing_text(nothing, limits.task), answered.stamp_ns)
    elif best >= limits.threshold:
        return CurrentStatus(Status.OK, "", answered.stamp_ns)
    text = f"the best candidate has {best:.2f}, the threshold is {limits.threshold:g}"
    if limits.threshold > 1:
        text = f"no probability of {model_id} promises a precision of {limits.target_precision:g}"
    return CurrentStatus(Status.ABSTAIN, text, answered.stamp_ns)


def nothing_text(probability: float, task: str = "future") -> str:
    """Return the status text where nothing begins, or with task current where no action goes on."""
    what = "no action goes on" if task == "current" else "nothing begins within the horizon"
    return f"{what}, with a probability of {probability:.2f}"


class PublicationLog:
    """Messages published since activation: counts them, numbers revisions, and decides when the next one is due.

    Revisions count from a random number. From 1, a planner that was busy while the node was activated again, or that
    hears two predictors, would take another answer of the same number for the one that it acts on. A clock would not
    do: predictors of one launch file start together, and robots without a battery start at the same time each day.
    """

    def __init__(self, before_first: int | None = None) -> None:
        """before_first: the number before the first revision; None = random."""
        self.count = 0
        self._revision = secrets.randbelow(REVISIONS) if before_first is None else before_first
        self._published_s = -math.inf
        self._last: tuple[int, str] | None = None  # status and best candidate of the last message

    def note(self, status: int, best: str, now_s: float) -> int:
        """Note a message and return its revision, which moves only when the status or the best candidate changes."""
        if (status, best) != self._last:
            self._revision = (self._revision + 1) % REVISIONS
            self._last = (status, best)
        self._published_s = now_s
        self.count += 1
        return self._revision

    def is_due(self, now_s: float, rate_hz: float, is_stale: bool) -> bool:
        """Whether to publish without a new answer: a planner must see a message each cycle.

        now_s: by the clock that `note` was given. is_stale: the camera is silent; if the last message had
        candidates, that must be reported at once.
        """
        has_candidates = self._last is not None and self._last[0] in WITH_CANDIDATES
        return (is_stale and has_candidates) or now_s - self._published_s > HEARTBEAT_CYCLES / rate_hz


def size_warning(frame_size: tuple[int, int], trained_size: tuple[int, int]) -> str | None:
    """Warning where camera images differ in size from the training frames; None where they agree.

    Both are (width, height) px; a trained_size of (0, 0) means unknown.
    """
    if trained_size in (frame_size, (0, 0)):
        return None
    seen, trained = ("x".join(map(str, size)) for size in (frame_size, trained_size))
    return (
        f"camera images are {seen}, but the model was trained on {trained}; its measured accuracy may not hold for "
        "this camera"
    )

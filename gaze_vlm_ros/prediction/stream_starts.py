"""Answers that are given moment by moment, and what becomes of each: starts, matched one to one with actions.

A start is a moment at which another answer is given than before. It is right if its action is the next to begin, within
the horizon, as in online detection of action starts (Shou et al. 2018). A second one for the same action is a
duplicate, one whose action is next but begins after the horizon is early, any other is false.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gaze_vlm_ros.labels.answer_words import NOTHING
from gaze_vlm_ros.prediction.believed_stream import BelievedStream, Floats, Ints
from gaze_vlm_ros.prediction.two_thresholds import TwoThresholds


def given_answers(stream: BelievedStream, begin: Floats, keep: Floats) -> Ints:
    """Return (M, T) the answer of each pair of thresholds at each moment; NOTHING = none."""
    rule = TwoThresholds(begin, keep)
    given = np.empty((len(stream.session), len(rule.begin)), np.int64)
    for row, (probabilities, is_first) in enumerate(zip(stream.begins, stream.new_session, strict=True)):
        if is_first:
            rule.reset()
        given[row] = rule.update(probabilities)
    return given


@dataclass(frozen=True)
class StartCounts:
    """Starts of answers by what became of them, for each session; (S,) each."""

    right: Ints
    false: Ints
    early: Ints
    duplicate: Ints
    unknown: Ints  # the recording ended too soon

    @property
    def judged(self) -> Ints:
        """Starts of which it is known what became of them."""
        return self.right + self.false + self.early + self.duplicate


def count_starts(stream: BelievedStream, given: Ints, latency_s: float = 0.0) -> StartCounts:
    """Match the starts of (M,) given answers with the actions that began.

    latency_s: time from a moment's last frame until its answer is there.
    """
    sessions = len(stream.persons)
    counts = {name: np.zeros(sessions, np.int64) for name in ("right", "false", "early", "duplicate", "unknown")}
    before = np.where(stream.new_session, NOTHING, np.roll(given, 1))
    matched: set[int] = set()
    ends_s = _ends_s(stream)
    of_session = [np.flatnonzero(stream.begun_session == number) for number in range(sessions)]
    for row in np.flatnonzero((given != NOTHING) & (given != before)):
        number = int(stream.session[row])
        at_s, own = stream.stamps_s[row] + latency_s, of_session[number]
        following = own[np.searchsorted(stream.begun_s[own], at_s, side="right") :]
        counts[_outcome(stream, int(given[row]), at_s, following, matched, ends_s[number])][number] += 1
    return StartCounts(**counts)


def _outcome(stream: BelievedStream, action: int, at_s: float, following: Ints, matched: set[int], end_s: float) -> str:
    """Return what becomes of one start. following: actions that begin after it. end_s: until when all is known."""
    if not len(following):
        return "false" if end_s - at_s >= stream.horizon_s else "unknown"
    following_action = int(following[0])
    if stream.begun_action[following_action] != action:
        return "false"
    if stream.begun_s[following_action] - at_s > stream.horizon_s:
        return "early"
    if following_action in matched:
        return "duplicate"
    matched.add(following_action)
    return "right"


def _ends_s(stream: BelievedStream) -> Floats:
    """Return (S,) until when it is known what begins."""
    known_until_s = stream.stamps_s + np.minimum(stream.known_s, stream.horizon_s)
    ends_s = np.full(len(stream.persons), -np.inf)
    np.maximum.at(ends_s, stream.session, known_until_s)
    np.maximum.at(ends_s, stream.begun_session, stream.begun_s)
    return ends_s


def scored_actions(stream: BelievedStream) -> Ints:
    """Return the rows of the actions that began within the moments: after the first, and within the last's horizon."""
    first_s, last_s = np.full(len(stream.persons), np.inf), np.full(len(stream.persons), -np.inf)
    np.minimum.at(first_s, stream.session, stream.stamps_s)
    np.maximum.at(last_s, stream.session, stream.stamps_s)
    after = stream.begun_s > first_s[stream.begun_session]
    return np.flatnonzero(after & (stream.begun_s <= last_s[stream.begun_session] + stream.horizon_s))


def anticipation_times(stream: BelievedStream, given: Ints, latency_s: float = 0.0) -> Floats:
    """Return for each of scored_actions the time for which the right answer had been given when it began, s; 0 = none.

    The answer counts from when it began to be given without a break, and not before the previous action began.
    """
    times_s = []
    for row in scored_actions(stream):
        number, start_s = stream.begun_session[row], stream.begun_s[row]
        moments = np.flatnonzero(stream.session == number)
        arrivals_s = stream.stamps_s[moments] + latency_s
        place = int(np.searchsorted(arrivals_s, start_s, side="left")) - 1
        earlier_s = stream.begun_s[(stream.begun_session == number) & (stream.begun_s < start_s)]
        from_s = earlier_s.max() if len(earlier_s) else -np.inf
        since_s = start_s
        while place >= 0 and arrivals_s[place] >= from_s and given[moments[place]] == stream.begun_action[row]:
            since_s = arrivals_s[place]
            place -= 1
        times_s.append(start_s - since_s)
    return np.array(times_s)


def point_average_precision(right: Ints, judged: Ints, actions: int) -> float:
    """Return the area under precision over recall of starts, over T thresholds; NaN without actions.

    right, judged: (T,) starts that are right, and all of them. Precision at a recall is the best there or above.
    """
    if not actions:
        return float("nan")
    recall, precision = right / actions, np.divide(right, judged, out=np.zeros(len(right)), where=judged > 0)
    order = np.argsort(recall, kind="stable")
    best = np.maximum.accumulate(precision[order][::-1])[::-1]
    return float(np.diff(recall[order], prepend=0.0) @ best)

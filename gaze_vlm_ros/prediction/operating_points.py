"""Thresholds for a target precision, chosen on streams with their truth, and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gaze_vlm_ros.labels.answer_words import NOTHING
from gaze_vlm_ros.prediction.believed_stream import BelievedStream, Floats, Ints
from gaze_vlm_ros.prediction.stream_starts import given_answers

NEVER = 2.0  # a threshold that no probability reaches
KEEP_SHARES = (1.0, 0.75, 0.5, 0.25)  # thresholds to keep an answer that are tried, as shares of that to begin it
SWEPT = 100  # thresholds to begin an answer that are tried
CONFIDENCE = 0.9  # of OperatingPoint.certified_share
CERTIFIED_SHARE = 0.9  # of all sessions in which the target must be reached, with that confidence


@dataclass(frozen=True)
class OperatingPoint:
    """Thresholds that reached a target precision on calibration streams; a probability of NEVER = none did."""

    target_precision: float
    begin: float  # least probability of an action to begin with it as the answer
    keep: float  # least probability to keep it
    precision: float  # reached: share of the moments with an answer at which it was right; 0 = no answer
    recall: float  # share of the moments with an action within the horizon at which it was the answer
    sessions: int = 0  # calibration sessions with an answer
    certified_share: float = 0.0  # lower limit of the share of sessions in which the target is reached
    # Persons over whom the four figures before are cross-fitted: each was answered by thresholds and a filter that
    # others chose. 0 = they are of the sessions that chose the thresholds, and so too good
    persons: int = 0

    @property
    def is_certified(self) -> bool:
        """Whether the target holds in CERTIFIED_SHARE of the sessions of other persons, with CONFIDENCE."""
        return self.persons > 0 and self.certified_share >= CERTIFIED_SHARE


def swept_thresholds(stream: BelievedStream) -> Floats:
    """Return at most SWEPT thresholds between the probabilities of the best actions, descending."""
    best = stream.begins.max(axis=1)
    return np.unique(np.quantile(best, np.linspace(0, 1, SWEPT), method="higher"))[::-1]


def operating_point(stream: BelievedStream, target_precision: float) -> OperatingPoint:
    """Return the thresholds with the best recall among those that reach a target precision on this stream.

    Precision and recall are over moments. With thresholds of another stream, scores are those of a real use.
    """
    swept = swept_thresholds(stream)
    begin, share = (grid.ravel() for grid in np.meshgrid(swept, KEEP_SHARES, indexing="ij"))
    given = given_answers(stream, begin, begin * share)[stream.known]
    truth = stream.action[stream.known]
    hits = (given == truth[:, None]) & (given != NOTHING)
    right, said = hits.sum(axis=0), (given != NOTHING).sum(axis=0)
    precision = np.divide(right, said, out=np.full(len(said), np.nan), where=said > 0)
    recall = right / max(1, int((truth != NOTHING).sum()))
    reached = np.flatnonzero(precision >= target_precision)
    if not len(reached):
        return OperatingPoint(target_precision, NEVER, NEVER, 0.0, 0.0)
    # Where several are equally good, take the highest threshold, and the least difference between the two.
    chosen = int(reached[recall[reached].argmax()])
    own = _figures(given[:, chosen], truth, stream.session[stream.known], target_precision)
    return OperatingPoint(target_precision, float(begin[chosen]), float(begin[chosen] * share[chosen]), *own)


def crossfitted(
    point: OperatingPoint, folds: Sequence[tuple[BelievedStream, BelievedStream]], persons: int
) -> OperatingPoint:
    """Return the same thresholds with the figures that such thresholds have for persons who did not choose them.

    folds: moments of some persons, and of the others, with beliefs of a filter that the first chose. Together, the
    others are all calibration sessions. persons: number of all.
    """
    if point.begin >= NEVER:
        return point
    given, truth, session = [], [], []
    for chosen_on, own in folds:
        chosen = operating_point(chosen_on, point.target_precision)
        given.append(given_answers(own, np.array([chosen.begin]), np.array([chosen.keep]))[own.known, 0])
        truth.append(own.action[own.known])
        session.append(own.session[own.known])
    precision, recall, sessions, certified = _figures(
        np.concatenate(given), np.concatenate(truth), np.concatenate(session), point.target_precision
    )
    return replace(
        point, precision=precision, recall=recall, sessions=sessions, certified_share=certified, persons=persons
    )


def _figures(given: Ints, truth: Ints, session: Ints, target_precision: float) -> tuple[float, float, int, float]:
    """Return precision, recall, sessions and certified_share of the answers at M moments; (M,) each."""
    said, hits = given != NOTHING, (given == truth) & (given != NOTHING)
    own = [hits[session == number].sum() / count for number in np.unique(session)
           if (count := said[session == number].sum())]  # fmt: skip
    passed = sum(share >= target_precision for share in own)
    precision = float(hits.sum() / said.sum()) if said.any() else 0.0
    recall = float(hits.sum() / max(1, int((truth != NOTHING).sum())))
    return precision, recall, len(own), lower_share(passed, len(own))


def lower_share(passed: int, sessions: int) -> float:
    """Return the lower limit of the share of sessions that pass, with 90 % confidence (Clopper and Pearson 1934).

    5 that all pass bound it at 0.63, 22 at 0.90.
    """
    from scipy.special import betaincinv  # takes long to load, and a robot does not need it

    return float(betaincinv(passed, sessions - passed + 1, 1 - CONFIDENCE)) if passed else 0.0

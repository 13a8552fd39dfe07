"""Scores of beliefs about what begins next and when, at all moments of some sessions. Pure NumPy.

The beliefs are tables P(action, part of the horizon) and P(nothing), from anyone: a model, a rule, an ideal observer.

- An answer is right if its action is the next to begin, within the horizon.
- A moment whose answer is not known (right-censored) counts in the likelihood and in the ranked probability score as
  far as it is known, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.labels.answer_words import NOTHING, part_of, parts_after
from gaze_vlm_ros.prediction.believed_stream import BelievedStream, Floats, Ints
from gaze_vlm_ros.prediction.calibration import calibration_error
from gaze_vlm_ros.prediction.operating_points import OperatingPoint, operating_point, swept_thresholds
from gaze_vlm_ros.prediction.score_text import score_table
from gaze_vlm_ros.prediction.stream_starts import (
    anticipation_times,
    count_starts,
    given_answers,
    point_average_precision,
    scored_actions,
)
from gaze_vlm_ros.storage.json_values import json_ready

TARGET_PRECISIONS = (0.8, 0.9)
AHEAD_S = (0.5, 1.0)  # a robot's reach takes about a second
CLOSE_S = 0.25  # a time to start with at most this error is right
LEAST_PROBABILITY = 1e-6  # floor in the likelihood: a belief that was certain and wrong costs 13.8 nats


def joint_losses(stream: BelievedStream) -> Floats:
    """Return (M,) -log of the probability of what came: action and part, nothing, or all that can still be true."""
    parts = stream.table.shape[2]
    likelihoods = stream.nothing.copy()
    for row, (action, to_start_s, known_s) in enumerate(
        zip(stream.action, stream.to_start_s, stream.known_s, strict=True)
    ):
        if action != NOTHING:
            likelihoods[row] = stream.table[row, action, part_of(to_start_s, stream.horizon_s, parts)]
        elif np.isfinite(known_s):
            later = stream.table[row].sum(axis=0) @ parts_after(known_s, stream.horizon_s, parts)
            likelihoods[row] += later
    return np.asarray(-np.log(np.maximum(likelihoods, LEAST_PROBABILITY)))


def ranked_probability_scores(stream: BelievedStream) -> Floats:
    """Return (M,) ranked probability scores of the time until any action begins (Epstein 1969), 0 to 1; NaN = unknown.

    The mean over the ends of the parts of (P(begun by then) - whether it had)²; of a censored moment, over those ends
    that are known.
    """
    parts = stream.table.shape[2]
    ends_s = np.arange(1, parts + 1) / parts * stream.horizon_s
    by_then = stream.table.sum(axis=1).cumsum(axis=1)
    had = np.nan_to_num(stream.to_start_s, nan=np.inf)[:, None] <= ends_s
    is_known = ends_s <= stream.known_s[:, None]
    sums, counts = (np.square(by_then - had) * is_known).sum(axis=1), is_known.sum(axis=1)
    return np.asarray(np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0))


def expected_times(stream: BelievedStream) -> Floats:
    """Return (M, A) the expected time until each action begins, if it does within the horizon, s."""
    if stream.expected_s is not None:
        return stream.expected_s
    parts = stream.table.shape[2]
    middles_s = (np.arange(parts) + 0.5) / parts * stream.horizon_s
    begins = stream.begins
    return np.asarray(
        np.divide(stream.table @ middles_s, begins, out=np.full(begins.shape, stream.horizon_s / 2), where=begins > 0)
    )


def average_precision(confidences: Floats, hits: NDArray[np.bool_], positives: int) -> float:
    """Return the area under precision over recall when answers are ranked by confidence; NaN without positives.

    confidences, hits: (N,). positives: number of moments that have a right answer. Ties count together.
    """
    if not positives:
        return float("nan")
    order = np.argsort(-confidences, kind="stable")
    ranked = confidences[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.empty(0, np.int64)
    found = np.cumsum(hits[order])[last]
    return float((np.diff(found, prepend=0) / positives) @ (found / (last + 1)))


def point_scores(stream: BelievedStream, point: OperatingPoint, latency_s: float = 0.0) -> dict[str, float | None]:
    """Return what a planner gets that acts on the answers of an operating point; None where there is nothing to count.

    Rates are per minute of the recordings; `anticipated` is the share of actions whose right answer was there when they
    began, and `anticipation_median_s` is over all actions, 0 where it was not.
    """
    given = given_answers(stream, np.array([point.begin]), np.array([point.keep]))[:, 0]
    counts = count_starts(stream, given, latency_s)
    times_s = anticipation_times(stream, given, latency_s)
    known, truth = stream.known, stream.action
    said, due = known & (given != NOTHING), known & (truth != NOTHING)
    right = int((said & (given == truth)).sum())
    minutes, actions = recorded_minutes(stream), len(times_s)

    def rate(number: Ints) -> float | None:
        return float(number.sum() / minutes) if minutes else None

    return {
        "threshold": point.begin,
        "keep": point.keep,
        "precision": right / said.sum() if said.any() else None,
        "recall": right / due.sum() if due.any() else None,
        "anticipated": float((times_s > 0).mean()) if actions else None,
        **{
            f"anticipated_{ahead_s:g}_s".replace(".", "_"): float((times_s >= ahead_s).mean()) if actions else None
            for ahead_s in AHEAD_S
        },
        "anticipation_median_s": float(np.median(times_s)) if actions else None,
        "right_starts_per_minute": rate(counts.right),
        "false_starts_per_minute": rate(counts.false),
        "early_starts_per_minute": rate(counts.early),
        "duplicate_starts_per_minute": rate(counts.duplicate),
        "flips_per_action": float((counts.judged + counts.unknown).sum() / actions) if actions else None,
    }


def recorded_minutes(stream: BelievedStream) -> float:
    """Return the time from the first to the last moment of each session, all together, min."""
    edges = [stream.stamps_s[stream.session == number] for number in np.unique(stream.session)]
    return float(sum(own[-1] - own[0] for own in edges) / 60)


def top5_recall_1s(stream: BelievedStream) -> float:
    """Return EPIC-KITCHENS' class-mean top-5 recall 1 s before actions begin; NaN where that says nothing.

    Of each action the moment nearest to 1 s before it counts, if it is within 0.25 s of that. With 5 actions or fewer
    every answer would be among the best 5.
    """
    hits: dict[int, list[bool]] = {}
    begins = stream.begins
    if begins.shape[1] > 5 and stream.horizon_s >= 1:
        for row in scored_actions(stream):
            moments = np.flatnonzero(stream.session == stream.begun_session[row])
            off_s = np.abs(stream.stamps_s[moments] + 1.0 - stream.begun_s[row])
            if off_s.min() <= CLOSE_S:
                place, action = moments[off_s.argmin()], int(stream.begun_action[row])
                better = int((begins[place] >= begins[place, action]).sum())
                hits.setdefault(action, []).append(better <= 5)
    return float(np.mean([np.mean(each) for each in hits.values()])) if hits else float("nan")


def score_stream(
    stream: BelievedStream,
    points: Sequence[OperatingPoint] = (),
    latency_s: float = 0.0,
    draws: int = 200,
) -> dict[str, Any]:
    """Return all scores of a stream, ready for JSON; None where there is nothing to count.

    `at_precision_P` holds point_scores at the thresholds that reach the target precision P on this very stream, and
    `own_at_precision_P` those of `points`, which were chosen elsewhere. latency_s: also score as if each answer came
    this much later. draws: resamples of each interval, which are by person.
    """
    known, begins = stream.known, stream.begins
    best, confidence = begins.argmax(axis=1), begins.max(axis=1)
    hits = (best == stream.action) & (stream.action != NOTHING)
    due = stream.action != NOTHING
    losses, rps = joint_losses(stream), ranked_probability_scores(stream)
    thresholds = swept_thresholds(stream)
    swept = [count_starts(stream, given) for given in given_answers(stream, thresholds, thresholds).T]
    right, judged = (np.stack([getattr(each, name) for each in swept]) for name in ("right", "judged"))
    actions_of = np.bincount(stream.begun_session[scored_actions(stream)], minlength=len(stream.persons))
    errors_s = np.abs(expected_times(stream)[due, stream.action[due]] - stream.to_start_s[due])
    close = hits[due] & (errors_s <= CLOSE_S)

    def moments_of(sessions: Ints) -> Ints:
        return np.concatenate([np.flatnonzero(stream.session == number) for number in sessions])

    def moments_average_precision(sessions: Ints) -> float:
        rows = moments_of(sessions)
        rows = rows[known[rows]]
        return average_precision(confidence[rows], hits[rows], int(due[rows].sum()))

    primary: dict[str, Callable[[Ints], float]] = {
        "negative_log_likelihood": lambda sessions: float(losses[moments_of(sessions)].mean()),
        "average_precision": moments_average_precision,
        "point_average_precision": lambda sessions: point_average_precision(
            right[:, sessions].sum(axis=1), judged[:, sessions].sum(axis=1), int(actions_of[sessions].sum())
        ),
    }
    present = np.unique(stream.session)
    result: dict[str, Any] = {
        "moments": len(stream.session),
        "censored": int((~known).sum()),
        "minutes": recorded_minutes(stream),
        "actions": int(actions_of.sum()),
        "persons": len({stream.persons[number] for number in present}),
        "due_share": float(due[known].mean()) if known.any() else None,
        **{name: statistic(present) for name, statistic in primary.items()},
        "losses_by_person": losses_by_person(stream, losses),
        "ranked_probability_score": float(np.nanmean(rps)),
        "time_to_start_error_s": float(errors_s.mean()) if due.any() else None,
        "right_within_0_25_s": float(close.mean()) if due.any() else None,
        "calibration_error": calibration_error(confidence[known], hits[known]) if known.any() else None,
        "calibration_error_nothing": calibration_error(stream.nothing[known], ~due[known]) if known.any() else None,
        "top5_recall_1_s": top5_recall_1s(stream),
        "intervals": {
            name: person_interval(stream.persons, present, statistic, draws) for name, statistic in primary.items()
        },
    }
    chosen = [(f"at_precision_{p:g}", operating_point(stream, p)) for p in TARGET_PRECISIONS]
    chosen += [(f"own_at_precision_{point.target_precision:g}", point) for point in points]
    for name, point in chosen:
        result[name] = point_scores(stream, point)
        if latency_s:
            result[f"{name}_late"] = point_scores(stream, point, latency_s)
    if latency_s:
        result["latency_s"] = latency_s
    plain: dict[str, Any] = json_ready(result)
    return plain


def losses_by_person(stream: BelievedStream, losses: Floats) -> dict[str, tuple[int, float]]:
    """Return person -> (moments, sum of their losses, nats). losses: (M,), see joint_losses."""
    person = np.array(stream.persons)[stream.session]
    return {
        name: (int((person == name).sum()), float(losses[person == name].sum()))
        for name in dict.fromkeys(person.tolist())
    }


def person_interval(
    persons: Sequence[str], sessions: Ints, statistic: Callable[[Ints], float], draws: int, level: float = 0.95
) -> tuple[float, float]:
    """Return the bootstrap interval of `statistic(sessions)`: persons are drawn, and of each person their sessions.

    People differ more than the sessions of one person (Davison and Hinkley 1997, section 3.8). (NaN, NaN) for a single
    person.
    """
    of: dict[str, list[int]] = {}
    for number in sessions.tolist():
        of.setdefault(persons[number], []).append(number)
    if len(of) < 2 or not draws:
        return float("nan"), float("nan")
    groups, generator = list(of.values()), np.random.default_rng(0)
    values = []
    for _ in range(draws):
        drawn = [groups[i] for i in generator.integers(len(groups), size=len(groups))]
        values.append(statistic(np.concatenate([generator.choice(own, len(own)) for own in drawn])))
    finite = np.array(values)[np.isfinite(values)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def stream_table(rows: dict[str, dict[str, Any]]) -> str:
    """Return the main scores of several streams as text, one row each."""
    heads = (
        "NLL", "AP", "starts AP", "prec. 0.9: recall", "0.5 s ahead", "false/min", "flips/act", "time err", "calib.",
    )  # fmt: skip

    def cells(scores: dict[str, Any]) -> tuple[float | None, ...]:
        point = scores["at_precision_0.9"]
        return (
            scores["negative_log_likelihood"], scores["average_precision"], scores["point_average_precision"],
            point["recall"], point["anticipated_0_5_s"], point["false_starts_per_minute"], point["flips_per_action"],
            scores["time_to_start_error_s"], scores["calibration_error"],
        )  # fmt: skip

    return score_table("stream", heads, {name: cells(scores) for name, scores in rows.items()})

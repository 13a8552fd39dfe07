"""How well each measure of gaze tells persons of bench 2 who search, are distracted or do not look from usual ones.

    python benchmark/gaze_assessment.py --seeds 5 --json build/gaze_assessment.json

No model is asked: attention is that of an observer who knows which object is taken next, so the figures are of the
measures and say nothing about a checkpoint. Persons of the baseline and those who are assessed are different ones, and
so are their sessions. A window is positive where the person was so for half of it or more, and negative where nothing
unusual was in it; others are left out.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gaze_vlm_ros.assessment.baseline import Baseline, made_baseline, standing
from gaze_vlm_ros.assessment.moments import MEASURES, RATE_HZ, SIDES, WINDOW_S, Moments, gaze_at, window_measures
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.sim.bench2_states import PersonState
from gaze_vlm_ros.sim.bench_session import truth_track
from gaze_vlm_ros.sim.bench_settings import BenchSettings
from gaze_vlm_ros.sim.truth import TruthTrack

Floats = NDArray[np.float64]

GAZE_HZ = 50.0
SIZE = (640, 480)  # units of the bench
UNITS_PER_DEG = SIZE[0] / 80.0
QUESTIONS = {"needs_help": (PersonState.SEARCHING,), "odd": (PersonState.DISTRACTED, PersonState.NOT_LOOKING)}
RATES = {"needs_help": {"searching_rate_hz": 0.02}, "odd": {"distracted_rate_hz": 0.012, "not_looking_rate_hz": 0.012}}
RECALL = 0.8
HALF = 0.5


@dataclass(frozen=True)
class Session:
    """What is measured of one session, one entry a window."""

    rows: list[dict[str, float]]
    times_s: Floats
    shares: Floats  # (windows, states) share of each PersonState
    head: Floats  # median speed of the head, units/s


def seen(settings: BenchSettings) -> tuple[TruthTrack, GazeTrack]:
    """Return a session's truth at GAZE_HZ, and gaze with the tracker's errors."""
    times_s = np.arange(int((settings.duration_s - 0.1) * GAZE_HZ)) / GAZE_HZ
    truth = truth_track(settings, times_s)
    rng = np.random.default_rng([settings.seed, 77])
    bias = rng.normal(0, settings.gaze_accuracy_deg * UNITS_PER_DEG / np.sqrt(2), 2)
    noise = rng.normal(0, settings.gaze_precision_deg * UNITS_PER_DEG, truth.gaze.shape)
    count = len(times_s)
    track = GazeTrack(
        (times_s * 1e9).astype(np.int64), truth.gaze + bias + noise, np.ones(count), np.full(count, 2, np.uint8),
        truth.eye_state, SIZE,
    )  # fmt: skip
    return truth, track


def attention_of(truth: TruthTrack, row: int) -> Floats:
    """Return (48, 64) what an observer attends to who knows what comes: half of it on the next object."""
    y, x = np.mgrid[5:480:10, 5:640:10]
    weights = np.full(truth.places.shape[1], 0.3 / truth.places.shape[1])
    if truth.target[row] >= 0:
        weights[truth.target[row]] += 0.5
    spread = [
        weight * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * 30.0**2)) / (2 * np.pi * 9)
        for weight, (px, py) in zip(weights.tolist(), truth.places[row].tolist(), strict=True)
    ]
    shares = np.sum(spread, axis=0) + 0.2 / x.size
    return np.asarray(shares / shares.sum())


def measured(settings: BenchSettings, gaze_of: BenchSettings | None = None) -> Session:
    """Return all windows of a session. gaze_of: the session whose gaze takes the place of its own."""
    truth, track = seen(settings)
    if gaze_of is not None:
        _, track = seen(gaze_of)
    moments, rows, times_s, shares, head = Moments(SIZE), [], [], [], []
    speed = np.hypot(*np.gradient(truth.head[:, :2], axis=0).T) * GAZE_HZ
    for row in range(int(GAZE_HZ), len(truth), round(GAZE_HZ / RATE_HZ)):
        at_ns = int(track.stamps_ns[row])
        moments.add(at_ns, gaze_at(track, at_ns, SIZE), attention_of(truth, row))
        found = window_measures(moments, track, at_ns)
        if np.isfinite(found["surprise"]):
            part = slice(max(0, row - round(WINDOW_S * GAZE_HZ)), row + 1)
            rows.append(found)
            times_s.append(float(truth.times_s[row]))
            shares.append(np.bincount(truth.person_state[part], minlength=len(PersonState)) / (part.stop - part.start))
            head.append(float(np.median(speed[part])))
    return Session(rows, np.array(times_s), np.array(shares), np.array(head))


def area_under_curve(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve; NaN scores are left out, and NaN comes back without either kind."""
    known = np.isfinite(scores)
    scores, positive = scores[known], positive[known]
    count = int(positive.sum())
    if not count or count == len(positive):
        return float("nan")
    return float((rankdata(scores)[positive].sum() - count * (count + 1) / 2) / (count * (len(positive) - count)))


def scores_of(sessions: list[Session], baseline: Baseline, question: str) -> dict[str, Floats]:
    """Return the score of each window by each measure, by their combination and by the head."""
    standings = [standing(row, baseline) for session in sessions for row in session.rows]
    found: dict[str, Floats] = {}
    for name in MEASURES:
        values = np.array([each.percentiles[name] for each in standings])
        side = SIDES[question].get(name, -1 if name == "saliency" else 1)
        found[name] = values if side > 0 else 1 - values if side < 0 else np.abs(values - HALF)
    found["combination"] = np.array([getattr(each, question) for each in standings])
    found["head only"] = np.concatenate([session.head for session in sessions])
    return found


def alarms(sessions: list[Session], scores: Floats, states: tuple[PersonState, ...]) -> tuple[float, float]:
    """Return false alarms an hour and the median delay, s, at the threshold that finds RECALL of the parts."""
    ends = np.cumsum([len(session.rows) for session in sessions])
    peaks, parts, usual = [], [], []
    for session, own in zip(sessions, np.split(scores, ends[:-1]), strict=True):
        inside = session.shares[:, list(map(int, states))].sum(axis=1) > 0
        for run in np.split(np.arange(len(own)), np.flatnonzero(np.diff(inside)) + 1):
            if len(run) and inside[run[0]]:
                peaks.append(np.nanmax(own[run]))
                parts.append((session.times_s[run], own[run]))
            elif len(run) and (session.shares[run, 0] == 1).all():
                usual.append(own[run])
    threshold = np.quantile(peaks, 1 - RECALL)
    begun = sum(
        int(((own[1:] >= threshold) & (own[:-1] < threshold)).sum()) + int(own[0] >= threshold) for own in usual
    )
    hours = sum(len(own) for own in usual) / RATE_HZ / 3600
    delays = [times_s[np.argmax(own >= threshold)] - times_s[0] for times_s, own in parts if (own >= threshold).any()]
    return begun / hours, float(np.median(delays))


def one_seed(seed: int, persons: int, duration_s: float) -> dict[str, dict[str, float]]:
    """Return the figures of one seed by question: AUC by measure, false alarms and delay of the combination."""

    def plan(kind: int, number: int, **rates: float) -> BenchSettings:
        name = 1000 * seed + 100 * kind + number
        return BenchSettings(bench=2, seed=name, person=f"p{name}", duration_s=duration_s, **rates)  # type: ignore[arg-type]

    normal = [measured(plan(0, number)) for number in range(persons)]
    baseline = made_baseline("truth@0", "0", "tidy", [], ["s"] * persons, [r for s in normal for r in s.rows], {})
    found: dict[str, dict[str, float]] = {}
    for place, (question, states) in enumerate(QUESTIONS.items(), 1):
        plans = [plan(place, number, **RATES[question]) for number in range(persons)]
        sessions = [measured(each) for each in plans]
        shares = np.concatenate([session.shares for session in sessions])
        positive = shares[:, list(map(int, states))].sum(axis=1) >= HALF
        clear = positive | (shares[:, 0] == 1)
        scores = scores_of(sessions, baseline, question)
        own = {name: area_under_curve(values[clear], positive[clear]) for name, values in scores.items()}
        others = [measured(each, plans[(n + 1) % persons]) for n, each in enumerate(plans)]
        mixed = scores_of(others, baseline, question)["combination"]
        own["combination, gaze of another session"] = area_under_curve(mixed[clear], positive[clear])
        own["false alarms an hour"], own["delay, s"] = alarms(sessions, scores["combination"], states)
        found[question] = own
    return found


def main() -> None:
    """Print a table: mean over seeds, and the least and most of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="each with persons of its own (default: %(default)s)")
    parser.add_argument("--persons", type=int, default=6, help="of the baseline, and of each question (default: 6)")
    parser.add_argument("--duration-s", type=float, default=180.0, help="of each session (default: %(default)g)")
    parser.add_argument("--json", type=Path, help="also write the figures of each seed to this file")
    arguments = parser.parse_args()
    began = time.monotonic()
    seeds = [one_seed(seed, arguments.persons, arguments.duration_s) for seed in range(arguments.seeds)]
    for question in QUESTIONS:
        print(f"\n{question}: area under the ROC curve, mean of {len(seeds)} seeds [least, most]")
        for name in seeds[0][question]:
            values = np.array([seed[question][name] for seed in seeds])
            print(f"  {name:<40} {np.nanmean(values):6.2f}  [{np.nanmin(values):.2f}, {np.nanmax(values):.2f}]")
    print(f"\n{time.monotonic() - began:.0f} s")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(seeds, indent=1) + "\n")


if __name__ == "__main__":
    main()

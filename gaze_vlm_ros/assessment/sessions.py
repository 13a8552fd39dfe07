"""Assess whole sessions: attention at each moment, measures of each window, and where they stand among normal ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.assessment.attention_fit import surprise
from gaze_vlm_ros.assessment.baseline import Baseline, Standing, standing
from gaze_vlm_ros.assessment.looks import LookStatistics, look_statistics, looks_of
from gaze_vlm_ros.assessment.moments import RATE_HZ, WINDOW_S, Moments, gaze_at, window_measures
from gaze_vlm_ros.assessment.objects import looked_at, looked_first_s, time_on
from gaze_vlm_ros.assessment.pupil import pupil_baseline_mm
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.labels.track import actions_of
from gaze_vlm_ros.prediction.attention_map import attention_map
from gaze_vlm_ros.prediction.types import Backend, NoAnswer, Observation
from gaze_vlm_ros.session.gaze_track import GazeTrack
from gaze_vlm_ros.session.regions import HAND, NoRegions, RegionTrack, require_regions
from gaze_vlm_ros.session.session import Session
from gaze_vlm_ros.video.frame_selection import pick_frames
from gaze_vlm_ros.video.images import DamagedImage

Floats = NDArray[np.float64]

STANDS_OUT = 0.99  # a window stands out whose score is above that of this share of normal ones
JOINED_S = 2.0  # spans that stand out with less between them are one
SHIFTS = 40  # other moments that gaze is compared with
LEAST_SHIFT_S = 10.0  # nearer moments show nearly the same
LEAST_MOMENTS = 60  # of a session, below which its gaze is not compared with other moments
SUSPECT_FROM = 0.05  # share of shifts that fit as well or better: one in twenty is chance


class NoAttention(GazeVlmError):
    """The checkpoint's answers say nothing of attention."""


class NothingToAssess(GazeVlmError):
    """The session lacks what an assessment needs."""


@dataclass(frozen=True)
class Attended:
    """The model's attention over a session."""

    moments: Moments
    points: Floats  # (T, 2) gaze at each moment, px of the frame; NaN = unknown
    maps: NDArray[np.float32]  # (T, rows, columns)
    rows: list[int]  # (T,) index of each moment's frame
    unanswered: int  # moments without an answer: damaged frames


@dataclass(frozen=True)
class Span:
    """A part of a session that stands out."""

    kind: str  # "odd" or "needs_help"
    start_s: float  # from the first frame
    end_s: float
    peak_s: float
    percentile: float  # at the peak
    frame: int  # index of the frame at the peak
    surprise: float  # at the peak


@dataclass(frozen=True)
class ActionLook:
    """How long before an action its object was looked at."""

    start_s: float  # from the first frame
    text: str
    looked_first_s: float  # NaN = not within objects.LONGEST_LEAD_S


@dataclass(frozen=True)
class SessionAssessment:
    """All that is found about one session."""

    path: Path
    name: str
    person: str
    task: str
    abstains: str  # why nothing is said about how normal it is; "" = it is said
    times_s: list[float]  # (T,) of each window's end, from the first frame
    rows: list[dict[str, float]]  # (T,) MEASURES of each window
    standings: list[Standing]  # (T,) empty where it abstains
    spans: list[Span]
    statistics: LookStatistics
    time_on_objects: float  # share of the time of looks; NaN = no boxes of things in the bag
    actions: list[ActionLook]  # empty without boxes or labels
    pupil_change: float  # median over the session relative to the person's baseline; NaN = unknown
    fit_elsewhere: float  # share of other moments that gaze fits as well as its own; NaN = too short
    unanswered: int

    @property
    def suspect(self) -> bool:
        """Whether gaze fits other moments as well as its own: another recording's, or clocks apart."""
        return self.fit_elsewhere > SUSPECT_FROM


def attend(session: Session, gaze: GazeTrack, backend: Backend, report: Callable[[str], None]) -> Attended:
    """Return the model's attention RATE_HZ times a second, and gaze at each moment.

    report: gets the state of the work in words. Raises NoAttention, NothingToAssess.
    """
    frames, metadata = session.frames, backend.metadata
    stamps_ns = frames.stamps_ns
    size = frames.size
    moments, points, maps, rows, unanswered = Moments(size), [], [], [], 0
    asked_ns = np.arange(int(stamps_ns[0]), int(stamps_ns[-1]) + 1, round(1e9 / RATE_HZ))
    for number, at_ns in enumerate(asked_ns.tolist()):
        picked = pick_frames(stamps_ns, at_ns, metadata.observation_s, metadata.frames)
        if not len(picked):
            continue
        report(f"{session.name}: {number + 1} of {len(asked_ns)} moments")
        last = int(picked[-1])
        try:
            seen = [frames.rgb(int(index)) for index in picked]
            answer = backend.predict(Observation(seen, tuple(stamps_ns[picked].tolist())))
        except (DamagedImage, NoAnswer):
            unanswered += 1
            continue
        if answer.attention is None or not len(answer.attention.shares):
            raise NoAttention(f"{metadata.model_id} does not say where it looks; give a checkpoint of training/fit.py")
        found = attention_map(answer.attention, size)
        stamp_ns = int(stamps_ns[last])
        point = gaze_at(gaze, stamp_ns, size)
        moments.add(stamp_ns, point, np.asarray(found, float))
        points.append(point)
        maps.append(found)
        rows.append(last)
    if not maps:
        raise NothingToAssess(
            f"{session.path}: no moment has the {metadata.frames} frames of {metadata.observation_s:g} s that the "
            "model looks at; leave the bag out"
        )
    return Attended(moments, np.array(points), np.array(maps), rows, unanswered)


def fit_elsewhere(attended: Attended) -> float:
    """Return the share of SHIFTS other pairings of gaze and attention that fit as well as their own, or better.

    Gaze is shifted against the attention of the same session by LEAST_SHIFT_S or more, around its end, and the mean
    surprise is compared: a permutation test that keeps how gaze and attention change over time. Gaze of another
    recording, or by a clock that is seconds off, fits no better at its own moments. NaN with fewer than LEAST_MOMENTS
    moments with gaze.
    """
    known: NDArray[np.bool_] = np.asarray(np.isfinite(attended.points).all(axis=1))
    count, least = len(known), round(LEAST_SHIFT_S * RATE_HZ)
    if known.sum() < LEAST_MOMENTS or count <= 2 * least:
        return math.nan
    shifts = np.unique(np.linspace(least, count - least, SHIFTS).round().astype(int))
    own = float(np.nanmean(attended.moments.surprise))
    means = []
    for shift in shifts.tolist():
        moved = np.roll(attended.points, shift, axis=0)
        others = [
            float(surprise(moved[row : row + 1], attended.maps[row], attended.moments.size)[0]) for row in range(count)
        ]
        means.append(float(np.nanmean(others)))
    return float(np.mean(np.array(means) <= own))


def assess(session: Session, gaze: GazeTrack, attended: Attended, baseline: Baseline | None) -> SessionAssessment:
    """Return all measures of a session, and where they stand among normal ones. baseline: None = it abstains."""
    origin_ns = int(session.frames.stamps_ns[0])
    moments = attended.moments
    rows = [window_measures(moments, gaze, at_ns) for at_ns in moments.stamps_ns]
    times_s = [(at_ns - origin_ns) / 1e9 for at_ns in moments.stamps_ns]
    abstains = _why_not(session, baseline, rows)
    standings = [standing(row, baseline) for row in rows] if baseline is not None and not abstains else []
    looks = looks_of(gaze, moments.size)
    size = gaze.image_size if gaze.image_size[0] else moments.size
    regions = _regions(session)
    names = looked_at(looks, regions, size) if regions else []
    own_mm = baseline.pupil_mm.get(session.person, math.nan) if baseline else math.nan
    return SessionAssessment(
        session.path, session.name, session.person, session.task, abstains, times_s, rows, standings,
        _spans(times_s, attended, standings),
        look_statistics(gaze, looks, size[0]),
        time_on(names, looks, set(regions.names) - {HAND}) if regions else math.nan,
        [
            ActionLook(
                (action.start_ns - origin_ns) / 1e9, action.text,
                looked_first_s(names, looks, action.object_class, action.start_ns),
            )
            for action in (actions_of(session.labels) if session.labels is not None else [])
            if regions and action.object_class in regions.names
        ],
        pupil_baseline_mm(gaze) / own_mm - 1,
        fit_elsewhere(attended),
        attended.unanswered,
    )  # fmt: skip


def _why_not(session: Session, baseline: Baseline | None, rows: list[dict[str, float]]) -> str:
    if baseline is None:
        return "no baseline: nothing is said about what is normal"
    if baseline.task and session.task and baseline.task != session.task:
        return f"the baseline is of task {baseline.task!r}, the session of {session.task!r}"
    if not any(math.isfinite(row["surprise"]) for row in rows):
        return f"no {WINDOW_S:g} s with gaze"
    return ""


def _regions(session: Session) -> RegionTrack | None:
    try:
        return require_regions(session.path)
    except NoRegions:
        return None


def _spans(times_s: list[float], attended: Attended, standings: list[Standing]) -> list[Span]:
    """Return the parts of the session whose scores are above STANDS_OUT. A window reaches WINDOW_S back."""
    spans = []
    for kind in ("odd", "needs_help"):
        values = np.array([getattr(each, kind) for each in standings])
        high = np.flatnonzero(values > STANDS_OUT)  # NaN is not
        breaks = np.flatnonzero(np.diff(np.array(times_s)[high]) > JOINED_S) + 1
        for run in np.split(high, breaks):
            if not len(run):
                continue
            peak = int(run[values[run].argmax()])
            # The moment within the window at which gaze was most surprising is the one to look at.
            inside = [row for row in range(peak + 1) if times_s[row] > times_s[peak] - WINDOW_S]
            shown = max(inside, key=lambda row: np.nan_to_num(attended.moments.surprise[row], nan=-1.0))
            spans.append(
                Span(
                    kind, max(0.0, times_s[run[0]] - WINDOW_S), times_s[run[-1]], times_s[shown], float(values[peak]),
                    attended.rows[shown], attended.moments.surprise[shown],
                )
            )  # fmt: skip
    return sorted(spans, key=lambda span: span.start_s)

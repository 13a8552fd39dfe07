"""What is normal: how each measure is distributed over windows of normal sessions of a task, in a file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gaze_vlm_ros.assessment.attention_fit import percentile
from gaze_vlm_ros.assessment.moments import MEASURES, RATE_HZ, SIDES, WINDOW_S
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.storage.atomic import write_text

Floats = NDArray[np.float64]

FORMAT = 1
LARGEST_BYTES = 16 << 20  # of the file; one of ours has 200 kB
QUANTILES = 1001  # kept of each measure: a percentile is then exact to 0.1 %
LEAST_WINDOWS = 60  # half a minute beyond the first window: fewer say nothing about what one moment in a hundred is


class BadBaseline(GazeVlmError):
    """The baseline cannot be read, written or made, or is of another model."""


@dataclass(frozen=True)
class Baseline:
    """Distributions over normal sessions. `id` names it in messages and pages."""

    id: str
    revision: str  # of the checkpoint, as in CheckpointMetadata
    model_id: str
    task: str  # "" = not given
    persons: tuple[str, ...]
    sessions: tuple[str, ...]
    windows: int
    measures: dict[str, Floats]  # by name: quantiles, ascending
    scores: dict[str, Floats]  # "odd" and "needs_help": quantiles of the raw score, ascending
    pupil_mm: dict[str, float]  # by person: median of the normal sessions, mm


def made_baseline(
    model_id: str, revision: str, task: str, persons: Sequence[str], sessions: Sequence[str],
    rows: Sequence[Mapping[str, float]], pupil_mm: Mapping[str, float],
) -> Baseline:  # fmt: skip
    """Return the baseline of windows of normal sessions. rows: of each window, MEASURES by name.

    Raises BadBaseline where fewer than LEAST_WINDOWS are known.
    """
    known = [row for row in rows if math.isfinite(row["surprise"])]
    if len(known) < LEAST_WINDOWS:
        raise BadBaseline(
            f"{len(known)} windows of the normal sessions have gaze and attention, expected at least {LEAST_WINDOWS} "
            f"({LEAST_WINDOWS / RATE_HZ:g} s after the first {WINDOW_S:g} s); give more or longer sessions"
        )
    measures = {name: _quantiles(np.array([row[name] for row in known])) for name in MEASURES}
    raw = {score: np.array([raw_score(row, measures, score) for row in known]) for score in SIDES}
    return Baseline(
        f"{task or 'any task'}, {len(sessions)} sessions, {revision[:8]}",
        revision, model_id, task, tuple(sorted(set(persons))), tuple(sessions), len(known),
        measures, {score: _quantiles(values) for score, values in raw.items()}, dict(pupil_mm),
    )  # fmt: skip


def _quantiles(values: Floats) -> Floats:
    known = values[np.isfinite(values)]
    return np.quantile(known, np.linspace(0, 1, QUANTILES)) if len(known) else np.empty(0)


def raw_score(row: Mapping[str, float], measures: Mapping[str, Floats], score: str) -> float:
    """Return how far a window is from normal, for one of SIDES: the mean of minus the logarithm of each tail.

    The tail is the share of normal windows at least as far to the side that speaks for the score (to either side: twice
    the smaller one). Fisher's way to join independent tests (Statistical Methods for Research Workers, 1932); measures
    of one window are not independent, so the sum is compared with that of normal windows and not with chi-squared.
    row: of the window. NaN where no measure is known.
    """
    parts = []
    for name, side in SIDES[score].items():
        if not len(measures[name]) or not math.isfinite(row[name]):
            continue
        below = float(percentile(np.array([row[name]]), measures[name])[0])
        tail = 1 - below if side > 0 else below if side < 0 else 2 * min(below, 1 - below)
        parts.append(-math.log(max(tail, 1 / QUANTILES)))
    return sum(parts) / len(parts) if parts else math.nan


@dataclass(frozen=True)
class Standing:
    """Where one window stands among normal ones. Shares of normal windows below, 0 to 1; NaN = unknown."""

    percentiles: dict[str, float]  # of each of MEASURES
    odd: float
    needs_help: float


def standing(row: Mapping[str, float], baseline: Baseline) -> Standing:
    """Return where a window stands among the baseline's. row: MEASURES by name."""
    percentiles = {name: _below(row[name], baseline.measures[name]) for name in MEASURES}
    scores = {score: _below(raw_score(row, baseline.measures, score), baseline.scores[score]) for score in SIDES}
    return Standing(percentiles, scores["odd"], scores["needs_help"])


def _below(value: float, normal: Floats) -> float:
    return float(percentile(np.array([value]), normal)[0]) if len(normal) else math.nan


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write the baseline to a new file. Raises BadBaseline where it exists or cannot be written."""
    if path.exists():
        raise BadBaseline(f"{path} exists already and is not overwritten; give another name")
    rounded = {
        group: {name: np.round(found, 9).tolist() for name, found in values.items()}
        for group, values in (("measures", baseline.measures), ("scores", baseline.scores))
    }
    head = {"kind": "gaze baseline", "format": FORMAT, "rate_hz": RATE_HZ, "window_s": WINDOW_S}
    values = head | asdict(baseline) | rounded
    try:
        write_text(path, json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    except OSError as error:
        raise BadBaseline(f"{path} cannot be written: {error.strerror}; give another place") from None


def read_baseline(path: Path) -> Baseline:
    """Read a baseline that `gaze-vlm assess --write-baseline` wrote. Raises BadBaseline."""
    again = "make it with `gaze-vlm assess --write-baseline`"
    try:
        if (size := path.stat().st_size) > LARGEST_BYTES:
            raise BadBaseline(f"{path} has {size} bytes, expected at most {LARGEST_BYTES}; {again}")
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadBaseline(f"no baseline in {path}: {getattr(error, 'strerror', None) or error}; {again}") from None
    if not isinstance(values, dict) or values.get("kind") != "gaze baseline":
        raise BadBaseline(f"{path} is no baseline; {again}")
    for key, expected in {"format": FORMAT, "rate_hz": RATE_HZ, "window_s": WINDOW_S}.items():
        if values.get(key) != expected:
            raise BadBaseline(f"{path}: {key} is {values.get(key)!r:.40}, expected {expected:g}; {again}")
    try:
        texts = {name: str(values[name]) for name in ("id", "revision", "model_id", "task")}
        baseline = Baseline(
            **texts,
            persons=tuple(map(str, values["persons"])),
            sessions=tuple(map(str, values["sessions"])),
            windows=int(values["windows"]),
            measures={name: _ascending(values["measures"][name]) for name in MEASURES},
            scores={name: _ascending(values["scores"][name]) for name in SIDES},
            pupil_mm={str(person): float(mm) for person, mm in values["pupil_mm"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadBaseline(f"{path} is damaged ({type(error).__name__}: {error!s:.80}); {again}") from None
    return baseline


def _ascending(values: Sequence[float]) -> Floats:
    found = np.array(values, float)
    if found.ndim != 1 or not np.isfinite(found).all() or (np.diff(found) < 0).any():
        raise ValueError("quantiles must ascend")
    return found


def require_model(baseline: Baseline, path: Path, revision: str, model_id: str) -> None:
    """Raise BadBaseline where the baseline is of other weights: their attention is not comparable."""
    if baseline.revision != revision:
        raise BadBaseline(
            f"{path} is of model {baseline.model_id}, and this is {model_id}; make a baseline with this one "
            "(`gaze-vlm assess --write-baseline`)"
        )

"""Measures of an ablation's runs, and their means over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from training.ablation.plan import Primary, Run
from training.evaluation.person_bootstrap import Estimate, hierarchical_bootstrap, holm, person_counts

TOP1 = 1  # place of top-1 hits in the scores by person

# Measures of a run: name in the tables -> path in the scores of one kind of session.
MEASURES = {
    "top1": ("top1", "value"),
    "exact": ("exact_match", "value"),
    "rouge_l": ("rouge_l", "value"),
    "semantic": ("semantic", "value"),
    "class_mean_recall": ("class_mean_recall", "value"),
    "calibration_error": ("calibration_error",),
    "overlap": ("attention", "top_k_overlap"),
    "attention_kl": ("attention", "kl"),
    "attention_auc": ("attention", "auc"),
}


@dataclass(frozen=True)
class Row:
    """Measures of one run on one kind of held-out session."""

    arm: str
    sweep: str
    value: str
    seed: int
    sessions: str  # kind of session: its scene
    windows: int
    measures: Mapping[str, float]
    top1_by_lead: Mapping[str, float]
    persons: Mapping[str, Mapping[str, Sequence[int]]]  # see person_bootstrap.person_counts; empty in old scores
    training_top1: float
    fit_s: float
    answer_ms: float


@dataclass(frozen=True)
class Mean:
    """Mean over seeds with half the width of its 95 % interval (Student's t; NaN with one seed)."""

    value: float
    half_width: float
    seeds: int

    def __str__(self) -> str:
        return f"{self.value:.3f} ± {self.half_width:.3f}" if self.seeds > 1 else f"{self.value:.3f}"


def mean_over_seeds(values: Sequence[float]) -> Mean:
    """Return the mean of the finite values, one per seed. The seeds are the sample, because fits vary between them."""
    known = np.array([value for value in values if np.isfinite(value)])
    if len(known) < 2:
        return Mean(float(known.mean()) if len(known) else float("nan"), float("nan"), len(known))
    half = stdtrit(len(known) - 1, 0.975) * known.std(ddof=1) / np.sqrt(len(known))
    return Mean(float(known.mean()), float(half), len(known))


def rows_of(results: Iterable[tuple[Run, Mapping[str, Any]]]) -> list[Row]:
    """Return a row for each run and kind of session. results: (run, its scores)."""
    rows = []
    for run, scores in results:
        for sessions, group in scores["groups"].items():
            if sessions != "all":
                measures = {name: number_at(group, path) for name, path in MEASURES.items()}
                rows.append(
                    Row(run.arm, run.sweep, run.value_text, run.seed, sessions, group["windows"], measures,
                        group["top1_by_lead"], group.get("persons", {}), number_at(scores, ("training_top1",)),
                        scores["seconds"]["fit"], number_at(scores, ("answer_ms",)))
                )  # fmt: skip
    return rows


def number_at(group: Mapping[str, Any], path: Sequence[str]) -> float:
    """Return the number at `path`; NaN if it is absent, as in scores of an older version."""
    found: Any = group
    for key in path:
        found = None if found is None else found.get(key)
    return float("nan") if found is None else float(found)


def summary(rows: Sequence[Row], baseline: str, primary: Primary | None = None) -> list[dict[str, Any]]:
    """Return one line for each kind of session, arm and value of a sweep, in the order of the runs.

    `difference` is top-1 minus that of the baseline with the same seed and value: paired, so that effects of the seed
    cancel. If a sweep does not contain the baseline, it is compared with the baseline of the recipe. `by_person` and
    `difference_by_person` are the same two with intervals over seeds and persons (None in old scores), and `p` is of
    the difference: as it is for `primary`, and adjusted for the number of all others (Holm) elsewhere.
    """
    table: list[dict[str, Any]] = []
    for key in dict.fromkeys((row.sessions, row.sweep, row.arm, row.value) for row in rows):
        sessions, sweep, arm, value = key
        own = [row for row in rows if (row.sessions, row.sweep, row.arm, row.value) == key]
        of_baseline = [row for row in rows if (row.sessions, row.arm) == (sessions, baseline)]
        swept = [row for row in of_baseline if row.sweep == sweep] and (sweep, value)
        paired = {row.seed: row for row in of_baseline if (row.sweep, row.value) == (swept or ("", ""))}
        both = [(row, paired[row.seed]) for row in own if row.seed in paired]
        pairs = [row.measures["top1"] - other.measures["top1"] for row, other in both]
        compared = [pair for pair in both if all(row.persons for row in pair)] if arm != baseline else []
        table.append(
            {"sessions": sessions, "sweep": sweep, "arm": arm, "value": value}
            | {name: mean_over_seeds([row.measures[name] for row in own]) for name in MEASURES}
            | {"training_top1": mean_over_seeds([row.training_top1 for row in own])}
            | {"difference": mean_over_seeds(pairs) if arm != baseline else None, "seeds": len(own)}
            | {"by_person": _by_person(own) if all(row.persons for row in own) else None}
            | {"difference_by_person": _difference_by_person(compared), "p": None}
            | {"fit_s": float(np.mean([row.fit_s for row in own]))}
            | {"answer_ms": float(np.mean([row.answer_ms for row in own])), "windows": own[0].windows}
        )
    others = []
    for line in table:
        if line["difference_by_person"] is None:
            continue
        if primary and (line["arm"], line["sessions"], line["sweep"]) == (primary.arm, primary.sessions, ""):
            line["p"] = line["difference_by_person"].p
        else:
            others.append(line)
    for line, p in zip(others, holm([line["difference_by_person"].p for line in others]), strict=True):
        line["p"] = p
    return table


def _difference_by_person(pairs: Sequence[tuple[Row, Row]]) -> Estimate | None:
    """Return the difference of (row, baseline's row) of each seed; None where they were scored on other windows."""
    if not pairs or any(row.windows != other.windows for row, other in pairs):
        return None  # a sweep of the horizon, say, compared with the recipe's
    rows, others = zip(*pairs, strict=True)
    return _by_person(rows, others)


def _by_person(own: Sequence[Row], baseline: Sequence[Row] = ()) -> Estimate:
    runs, others = ([person_counts(row.persons, TOP1) for row in rows] for rows in (own, baseline))
    return hierarchical_bootstrap(runs, baseline=others, draws=1000)

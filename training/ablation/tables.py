"""An ablation's runs as tables and figures: CSV, LaTeX and one HTML page."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import t as student_t

from gaze_vlm_ros.figures import embedded, png
from training.ablation.page import OPTIONAL, PAGE
from training.reports import figures

if TYPE_CHECKING:
    from training.ablation.plan import Ablation, Run

# What a run is scored by: name in the tables, and where it stands in the scores of one kind of session.
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
    """One run, on one kind of held-out session."""

    arm: str
    sweep: str
    value: str
    seed: int
    sessions: str  # kind of session
    windows: int
    measures: Mapping[str, float]
    top1_by_lead: Mapping[str, float]
    fit_s: float
    answer_ms: float


@dataclass(frozen=True)
class Mean:
    """Over seeds; half the width of the 95 % interval by Student's t, NaN with one seed."""

    value: float
    half_width: float
    seeds: int

    def __str__(self) -> str:
        return f"{self.value:.3f} ± {self.half_width:.3f}" if self.seeds > 1 else f"{self.value:.3f}"


def mean_over_seeds(values: Sequence[float]) -> Mean:
    """Of values that are finite; a fit's noise is between seeds, so they are the sample."""
    known = np.array([value for value in values if np.isfinite(value)])
    if len(known) < 2:
        return Mean(float(known.mean()) if len(known) else float("nan"), float("nan"), len(known))
    half = student_t.ppf(0.975, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known))
    return Mean(float(known.mean()), float(half), len(known))


def rows_of(results: Iterable[tuple[Run, Mapping[str, Any]]]) -> list[Row]:
    rows = []
    for run, scores in results:
        for sessions, group in scores["groups"].items():
            if sessions != "all":
                measures = {name: _number(group, path) for name, path in MEASURES.items()}
                value = "" if run.value is None else str(run.value)
                rows.append(
                    Row(run.arm, run.sweep, value, run.seed, sessions, group["windows"], measures,
                        group["top1_by_lead"], scores["seconds"]["fit"], _number(scores, ("answer_ms",)))
                )  # fmt: skip
    return rows


def _number(group: Mapping[str, Any], path: Sequence[str]) -> float:
    """NaN where it was not measured, by an older program perhaps."""
    found: Any = group
    for key in path:
        found = None if found is None else found.get(key)
    return float("nan") if found is None else float(found)


def summary(rows: Sequence[Row], baseline: str) -> list[dict[str, Any]]:
    """One line for each arm (and value of a sweep) and kind of session, in the order of the runs.

    `difference` is top-1 minus the baseline's of the same seed and value: pairs, so that what seeds share cancels.
    Where a sweep is without the baseline, it is that of the recipe.
    """
    table: list[dict[str, Any]] = []
    for key in dict.fromkeys((row.sessions, row.sweep, row.arm, row.value) for row in rows):
        sessions, sweep, arm, value = key
        own = [row for row in rows if (row.sessions, row.sweep, row.arm, row.value) == key]
        of_baseline = [row for row in rows if (row.sessions, row.arm) == (sessions, baseline)]
        swept = [row for row in of_baseline if row.sweep == sweep] and (sweep, value)
        paired = {
            row.seed: row.measures["top1"] for row in of_baseline if (row.sweep, row.value) == (swept or ("", ""))
        }
        pairs = [row.measures["top1"] - paired[row.seed] for row in own if row.seed in paired]
        table.append(
            {"sessions": sessions, "sweep": sweep, "arm": arm, "value": value}
            | {name: mean_over_seeds([row.measures[name] for row in own]) for name in MEASURES}
            | {"difference": mean_over_seeds(pairs) if arm != baseline else None, "seeds": len(own)}
            | {"fit_s": float(np.mean([row.fit_s for row in own]))}
            | {"answer_ms": float(np.mean([row.answer_ms for row in own])), "windows": own[0].windows}
        )
    return table


def write(
    out: Path, ablation: Ablation, results: Sequence[tuple[Run, Mapping[str, Any]]], absent: Mapping[str, str]
) -> None:
    """runs.csv, summary.csv, table.tex, report.html and the figures, of the runs that there are.

    absent: why each of the others is not among them.
    """
    rows = rows_of(results)
    table = summary(rows, ablation.baseline)
    _write_csv(out / "runs.csv", [_flat(row) for row in rows])
    _write_csv(out / "summary.csv", [_spread(line) for line in table])
    tables = [latex(table, ablation.baseline), *(latex_sweep(table, name) for name in ablation.sweeps)]
    (out / "table.tex").write_text("\n".join(tables), encoding="utf-8")
    drawn = {}
    if rows:
        drawn["accuracy"] = figures.arm_accuracy(rows)
        drawn["by_lead"] = figures.accuracy_by_lead([row for row in rows if not row.sweep])
        for name in ablation.sweeps:
            of_sweep = [row for row in rows if row.sweep == name]
            swept = {ablation.baseline, *(row.arm for row in of_sweep)}
            recipe = [row for row in rows if not row.sweep and row.arm in swept]
            if of_sweep:
                readable = "".join(c if c.isalnum() else "_" for c in name)
                drawn[f"sweep_{readable}"] = figures.sweep_accuracy(of_sweep, name, recipe)
    pictures = {name: png(figure) for name, figure in drawn.items()}
    for name, figure in drawn.items():
        (out / f"{name}.png").write_bytes(pictures[name])
        figure.savefig(out / f"{name}.pdf", bbox_inches="tight")  # for a paper
    page = PAGE.render(
        table=table,
        baseline=ablation.baseline,
        pictures={name: embedded(picture) for name, picture in pictures.items()},
        optional=[(name, title) for name, title in OPTIONAL if any(np.isfinite(line[name].value) for line in table)],
        absent=absent,
        settings=json.dumps(asdict(ablation), indent=1, ensure_ascii=False),
    )
    (out / "report.html").write_text(page, encoding="utf-8")


def latex(table: Sequence[Mapping[str, Any]], baseline: str) -> str:
    """The main table, without sweeps, for a paper that loads booktabs."""
    kinds = list(dict.fromkeys(line["sessions"] for line in table))
    lines = [
        r"\begin{tabular}{l" + "rrr" * len(kinds) + "}", r"\toprule",
        " & " + " & ".join(rf"\multicolumn{{3}}{{c}}{{{_escaped(kind)}}}" for kind in kinds) + r" \\",
        "arm" + r" & top-1 & $\Delta$ & overlap" * len(kinds) + r" \\", r"\midrule",
    ]  # fmt: skip
    main = [line for line in table if not line["sweep"]]
    for arm in dict.fromkeys(line["arm"] for line in main):
        cells = [_escaped(arm)]
        for kind in kinds:
            of_kind = [line for line in main if (line["arm"], line["sessions"]) == (arm, kind)]
            for name in ("top1", "difference", "overlap"):
                cells.append(_tex(of_kind[0][name]) if of_kind and of_kind[0][name] is not None else "--")
        lines.append(" & ".join(cells) + r" \\")
    note = f"% 95 % intervals by Student's t over seeds; Delta is to {baseline}, seed by seed"
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", note, ""])


def latex_sweep(table: Sequence[Mapping[str, Any]], sweep: str) -> str:
    """Top-1 of each arm over the values of one sweep, for a paper that loads booktabs; empty where it was not run."""
    lines = [line for line in table if line["sweep"] == sweep]
    if not lines:
        return ""
    values = list(dict.fromkeys(line["value"] for line in lines))
    rows = [
        r"\begin{tabular}{ll" + "r" * len(values) + "}", r"\toprule",
        f"sessions & {_escaped(sweep)} & " + " & ".join(map(_escaped, values)) + r" \\", r"\midrule",
    ]  # fmt: skip
    for sessions, arm in dict.fromkeys((line["sessions"], line["arm"]) for line in lines):
        own = {line["value"]: line["top1"] for line in lines if (line["sessions"], line["arm"]) == (sessions, arm)}
        cells = [_tex(own[value]) if value in own else "--" for value in values]
        rows.append(" & ".join([_escaped(sessions), _escaped(arm), *cells]) + r" \\")
    return "\n".join([*rows, r"\bottomrule", r"\end{tabular}", ""])


def _escaped(text: str) -> str:
    return text.replace("λ", r"$\lambda$").replace("%", r"\%").replace("_", r"\_")


def _tex(mean: Mean) -> str:
    return rf"${mean.value:.3f}$" + (rf"{{\scriptsize$\pm{mean.half_width:.3f}$}}" if mean.seeds > 1 else "")


def _flat(row: Row) -> dict[str, Any]:
    plain = {"arm": row.arm, "sweep": row.sweep, "value": row.value, "seed": row.seed, "sessions": row.sessions}
    leads = {f"top1_lead_{lead.replace(' ', '')}": round(value, 5) for lead, value in row.top1_by_lead.items()}
    measures = {name: round(value, 5) for name, value in row.measures.items()}
    return (
        plain
        | {"windows": row.windows}
        | measures
        | leads
        | {"fit_s": round(row.fit_s, 1), "answer_ms": round(row.answer_ms, 2)}
    )


def _spread(line: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for name, value in line.items():
        if isinstance(value, Mean):
            plain |= {name: round(value.value, 5), f"{name}_95": round(value.half_width, 5)}
        else:
            plain[name] = value
    return plain


def _write_csv(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    names = list(dict.fromkeys(name for line in lines for name in line))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(lines)

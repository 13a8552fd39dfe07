"""Write an ablation's tables and figures: CSV, LaTeX, PNG, PDF and one HTML page."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from gaze_vlm_ros.figures import embedded, png
from training.ablation import figures
from training.ablation.latex import latex_sweep, latex_table
from training.ablation.page import OPTIONAL, PAGE
from training.ablation.plan import Ablation, Run, file_name
from training.ablation.search import SEARCH, accuracy_by_step, read_runs, search_of
from training.ablation.statistics import Mean, Row, rows_of, summary
from training.ablation.stream_summary import STREAM, all_markdown, json_lines, stream_rows, stream_summary
from training.evaluation.person_bootstrap import Estimate
from training.model.versions import library_versions
from training.run.run_folder import METRICS


def write(
    out: Path,
    ablation: Ablation,
    results: Sequence[tuple[Run, Mapping[str, Any]]],
    absent: Mapping[str, str],
    references: Mapping[int, Mapping[str, Mapping[str, Any]]],
) -> None:
    """Write runs.csv, summary.csv, table.tex, report.html and the figures of the finished runs to `out`.

    Where arms are of the stream, also stream.json and stream.md: their scores at all moments, beside rules and ceiling.
    With a search also search.json: what was tried for each arm, and what validation chooses.

    results: (run, its scores). absent: why each of the other runs is not among them.
    references: see references.reference_results.
    """
    rows = rows_of(results)
    table = summary(rows, ablation.baseline, ablation.primary)
    _write_csv(out / "runs.csv", [_flat(row) for row in rows])
    _write_csv(out / "summary.csv", [_spread(line) for line in table])
    tables = [latex_table(table, ablation.baseline), *(latex_sweep(table, name) for name in ablation.sweeps)]
    (out / "table.tex").write_text("\n".join(tables), encoding="utf-8")
    stream = json_lines(stream_summary(stream_rows(results, references), ablation.baseline, ablation.primary))
    if any(not line["is_reference"] for line in stream):
        content = {"configuration": asdict(ablation), "libraries": library_versions(), "lines": stream}
        (out / STREAM).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (out / "stream.md").write_text(all_markdown(stream), encoding="utf-8")
    plots = {}
    if rows:
        plots["accuracy"] = figures.arm_accuracy(rows)
        plots["by_lead"] = figures.accuracy_by_lead([row for row in rows if not row.sweep])
        for name in ablation.sweeps:
            of_sweep = [row for row in rows if row.sweep == name]
            swept = {ablation.baseline, *(row.arm for row in of_sweep)}
            recipe = [row for row in rows if not row.sweep and row.arm in swept]
            if of_sweep:
                plots[f"sweep_{file_name(name)}"] = figures.sweep_accuracy(of_sweep, name, recipe)
    if ablation.search:
        tried = [(run, scores) for run, scores in results if run.sweep in ("", *ablation.search)]
        found = search_of(read_runs(out, tried, METRICS))
        (out / SEARCH).write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        if found:
            plots["accuracy_by_step"] = accuracy_by_step(found)
    pictures = {name: png(figure) for name, figure in plots.items()}
    for name, figure in plots.items():
        (out / f"{name}.png").write_bytes(pictures[name])
        figure.savefig(out / f"{name}.pdf", bbox_inches="tight")  # vector graphics for a paper
    page = PAGE.render(
        table=table,
        baseline=ablation.baseline,
        pictures={name: embedded(picture) for name, picture in pictures.items()},
        optional=[(name, title) for name, title in OPTIONAL if any(np.isfinite(line[name].value) for line in table)],
        absent=absent,
        settings=json.dumps(asdict(ablation), indent=1, ensure_ascii=False),
    )
    (out / "report.html").write_text(page, encoding="utf-8")


def _flat(row: Row) -> dict[str, Any]:
    """Return a row of runs.csv."""
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
    """Return a row of summary.csv: a mean takes two columns."""
    plain: dict[str, Any] = {}
    for name, value in line.items():
        if isinstance(value, Mean):
            plain |= {name: round(value.value, 5), f"{name}_95": round(value.half_width, 5)}
        elif isinstance(value, Estimate):
            plain |= {f"{name}_low": round(value.low, 5), f"{name}_high": round(value.high, 5)}
        else:
            plain[name] = value
    return plain


def _write_csv(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    names = list(dict.fromkeys(name for line in lines for name in line))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(lines)

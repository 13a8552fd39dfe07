"""The report of a recipe: Markdown for people, JSON for programs, both from the same figures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from training.ablation.plan import Run
from training.ablation.runner import SCORES
from training.data.recordings import Recording, data_hash
from training.evaluation.person_bootstrap import Estimate, hierarchical_bootstrap, holm, person_counts
from training.model.versions import library_versions
from training.recipes.recipe import Protocol, Recipe

REPORT, FIGURES = "report.md", "report.json"
PRIOR_ARM = "label prior"
# Measure -> (title, statistic, place of its hits in the scores by person)
MEASURES = {
    "class_mean_recall_at_5": ("class-mean top-5 recall", "class_mean", 2),
    "class_mean_recall": ("class-mean recall", "class_mean", 1),
    "top1": ("top-1", "accuracy", 1),
}


def write_report(
    recipe: Recipe,
    protocols: Sequence[str],
    recordings: Sequence[Recording],
    checks: Sequence[Mapping[str, Any]],
    leave_out: Sequence[str],
    out: Path,
) -> Path:
    """Write report.json and report.md from the scores in `out`; return the path of the latter."""
    figures = {
        "recipe": asdict(recipe),
        "protocols": {name: protocol_figures(recipe, name, out / name) for name in protocols},
        "data": {
            "hash": data_hash(recordings),
            "sessions": [
                {
                    "name": own.name, "person": own.person, "digest": own.digest, "frames": own.frames,
                    "span_s": round(own.span_s, 3), "windows": len(own.windows), "dropped": dict(own.dropped),
                    "check": check["worst"],
                }
                for own, check in zip(recordings, checks, strict=True)
            ],
            "left_out": list(leave_out),
        },
        "libraries": library_versions(),
    }  # fmt: skip
    (out / FIGURES).write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / REPORT).write_text(report_text(figures), encoding="utf-8")
    return out / REPORT


def protocol_figures(recipe: Recipe, name: str, folder: Path) -> dict[str, Any]:
    """Return all figures of one protocol, from the scores of its runs."""
    protocol = recipe.protocols[name]
    parts = _parts(protocol, folder)
    arms = {PRIOR_ARM: [_pooled([_prior(part) for part in parts])] * len(recipe.seeds)}
    for arm in recipe.arms:
        arms[arm] = [_pooled([_persons(part, arm, seed) for part in parts]) for seed in recipe.seeds]
    estimates: dict[str, dict[str, Any]] = {
        arm: {
            measure: {
                "value": _plain(_estimate(runs, measure)),
                "difference": None
                if arm == recipe.baseline
                else _plain(_estimate(runs, measure, arms[recipe.baseline])),
            }
            for measure in MEASURES
        }
        for arm, runs in arms.items()
    }
    primary = recipe.primary
    others = [
        (arm, measure)
        for arm in estimates
        for measure in MEASURES
        if arm != recipe.baseline and (arm, measure, name) != (primary.arm, primary.measure, primary.protocol)
    ]
    p_values = [estimates[arm][measure]["difference"]["p"] for arm, measure in others]
    adjusted = holm([float("nan") if p is None else p for p in p_values])
    for (arm, measure), p in zip(others, adjusted, strict=True):
        estimates[arm][measure]["difference"]["holm_p"] = None if np.isnan(p) else p
    split = folder / "split.json"
    scores = [
        json.loads((part / "runs" / _run(recipe.baseline, recipe.seeds[0]) / SCORES).read_text()) for part in parts
    ]
    return {
        "why": protocol.why,
        "split_file": f"{name}/{split.name}",
        "split_sha256": hashlib.sha256(split.read_bytes()).hexdigest(),
        "leak": scores[0].get("leak", ""),
        "arms": estimates,
        "tuned": {part.name: json.loads((part / "tuning.json").read_text())["chosen"] for part in parts}
        if recipe.tuning
        else {},
        "unknown_answers": sum(own["unknown_answers"]["windows"] for own in scores),
        "looked_at": f"{len(recipe.arms) * len(recipe.seeds) * len(parts)} runs were scored on test sessions, once",
    }


def report_text(figures: Mapping[str, Any]) -> str:
    """Return report.json as Markdown."""
    recipe = figures["recipe"]
    sessions = figures["data"]["sessions"]
    primary = recipe["primary"]
    lines = [
        f"# {recipe['importer']}: what gaze in training changes",
        "",
        f"{len(sessions)} sessions of {len({own['person'] for own in sessions})} persons, "
        f"{sum(own['span_s'] for own in sessions) / 3600:.2f} h, {sum(own['windows'] for own in sessions)} windows. "
        f"Data hash {figures['data']['hash']}.",
        "",
        f"Primary endpoint, fixed in the recipe: {MEASURES[primary['measure']][0]} of {primary['arm']} against "
        f"{recipe['baseline']}, protocol {primary['protocol']}. All other p-values are adjusted for their number "
        "(Holm). Intervals are 95 %, by a bootstrap over seeds and persons; n is the number of persons where there are "
        "too few.",
    ]
    for name, protocol in figures["protocols"].items():
        lines += ["", f"## Protocol {name}", "", protocol["why"], ""]
        if protocol["leak"]:
            lines += [f"**Warning: {protocol['leak']}.**", ""]
        titles = [title for title, _, _ in MEASURES.values()]
        lines += ["| arm | " + " | ".join(f"{title} | difference | p" for title in titles) + " |"]
        lines += ["|---|" + "---|---|---|" * len(titles)]
        for arm, measures in protocol["arms"].items():
            cells = [arm]
            for measure in MEASURES:
                found = measures[measure]
                cells += [_span(found["value"])]
                difference = found["difference"]
                cells += ["", ""] if difference is None else [_span(difference), _p(difference)]
            lines.append("| " + " | ".join(cells) + " |")
        lines += ["", f"Split: {protocol['split_file']}, SHA-256 {protocol['split_sha256']}. {protocol['looked_at']}."]
        if protocol["unknown_answers"]:
            lines += [
                f"{protocol['unknown_answers']} test windows have an answer that training lacks, and count as wrong."
            ]
        if protocol["tuned"]:
            lines += [f"Chosen by validation: {json.dumps(protocol['tuned'], ensure_ascii=False)}."]
    if recipe["references"]:
        lines += ["", "## Published figures", "", "| work | measure | value | source |", "|---|---|---|---|"]
        lines += [
            f"| {own['name']} | {own['measure']} | {own['value']:g} | {own['source']} |" for own in recipe["references"]
        ]
    lines += [
        "",
        "## Sessions",
        "",
        "| session | person | frames | windows | dropped | check | digest |",
        "|---|---|---|---|---|---|---|",
    ]
    for own in sessions:
        dropped = ", ".join(f"{count} {reason}" for reason, count in own["dropped"].items())
        lines.append(
            f"| {own['name']} | {own['person']} | {own['frames']} | {own['windows']} | {dropped} | {own['check']} | "
            f"{own['digest'][:16]} |"
        )
    if figures["data"]["left_out"]:
        lines += ["", f"Left out by request: {', '.join(figures['data']['left_out'])}."]
    versions = ", ".join(f"{name} {version}" for name, version in figures["libraries"].items())
    lines += ["", f"Seeds {', '.join(map(str, recipe['seeds']))}. {versions}.", ""]
    return "\n".join(lines)


def _parts(protocol: Protocol, folder: Path) -> list[Path]:
    return [folder / f"fold_{number}" for number in range(protocol.folds)] if protocol.folds else [folder / "all"]


def _run(arm: str, seed: int) -> str:
    return Run(arm, "", None, seed, {}).folder


def _persons(part: Path, arm: str, seed: int) -> dict[str, Any]:
    scores = json.loads((part / "runs" / _run(arm, seed) / SCORES).read_text(encoding="utf-8"))
    groups = scores["groups"]
    persons: dict[str, Any] = (groups["all"] if "all" in groups else next(iter(groups.values())))["persons"]
    return persons


def _prior(part: Path) -> dict[str, Any]:
    prior: dict[str, Any] = json.loads((part / "label_prior.json").read_text(encoding="utf-8"))
    return prior


def _pooled(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the persons of all folds together: each person is tested in one fold only."""
    return {person: classes for part in parts for person, classes in part.items()}


def _estimate(runs: Sequence[Mapping[str, Any]], measure: str, baseline: Sequence[Mapping[str, Any]] = ()) -> Estimate:
    _, statistic, place = MEASURES[measure]
    own, other = ([person_counts(run, place) for run in each] for each in (runs, baseline))
    return hierarchical_bootstrap(own, statistic, other)


def _plain(estimate: Estimate) -> dict[str, Any]:
    """Return an estimate for JSON, which has no NaN."""
    return {
        name: None if isinstance(value, float) and np.isnan(value) else value
        for name, value in asdict(estimate).items()
    }


def _span(estimate: Mapping[str, Any]) -> str:
    if estimate["low"] is None:
        return f"{estimate['value']:.3f} (n = {estimate['persons']})"
    return f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"


def _p(difference: Mapping[str, Any]) -> str:
    if difference["p"] is None:
        return ""
    return f"{difference['holm_p']:.3f}" if "holm_p" in difference else f"**{difference['p']:.3f}**"

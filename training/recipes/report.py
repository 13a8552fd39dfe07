"""The report of a recipe: Markdown for people, JSON for programs, both from the same figures."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from gaze_vlm_ros.windows.cutting import reasons_text
from training.ablation.plan import Run
from training.ablation.runner import SCORES
from training.data.recordings import Recording, data_hash
from training.evaluation.person_bootstrap import Estimate, hierarchical_bootstrap, holm, person_counts
from training.model.versions import library_versions
from training.recipes.measures import CHOICE_MEASURES, MEASURES
from training.recipes.questions import QUESTIONS
from training.recipes.recipe import Protocol, Recipe

REPORT, FIGURES = "report.md", "report.json"
PRIOR_ARM = "label prior"


def write_report(
    recipe: Recipe,
    protocols: Sequence[str],
    recordings: Sequence[Recording],
    checks: Sequence[Mapping[str, Any]],
    leave_out: Sequence[str],
    asked: Mapping[str, Any],
    out: Path,
) -> Path:
    """Write report.json and report.md from the scores in `out`; return the path of the latter.

    asked: files of questions with their SHA-256, number of questions, and those left out by reason; empty = none.
    """
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
        "questions": dict(asked),
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
    estimates = _estimates(arms, recipe.baseline, MEASURES)
    questions = _question_figures(recipe, parts) if recipe.questions and protocol.folds else {}
    primary = recipe.primary
    others = [
        own[measure]["difference"]
        for table in (estimates, questions.get("arms", {}))
        for arm, own in table.items()
        for measure in own
        if arm != recipe.baseline and (arm, measure, name) != (primary.arm, primary.measure, primary.protocol)
    ]
    adjusted = holm([float("nan") if own["p"] is None else own["p"] for own in others])
    for own, p in zip(others, adjusted, strict=True):
        own["holm_p"] = None if np.isnan(p) else p
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
        "questions": questions,
        "looked_at": f"{len(recipe.arms) * len(recipe.seeds) * len(parts)} runs were scored on test sessions, once",
    }


def report_text(figures: Mapping[str, Any]) -> str:
    """Return report.json as Markdown."""
    recipe = figures["recipe"]
    sessions = figures["data"]["sessions"]
    primary = recipe["primary"]
    measured = (MEASURES | CHOICE_MEASURES)[primary["measure"]][0]
    lines = [
        f"# {recipe['importer']}: what gaze in training changes",
        "",
        f"{len(sessions)} sessions of {len({own['person'] for own in sessions})} persons, "
        f"{sum(own['span_s'] for own in sessions) / 3600:.2f} h, {sum(own['windows'] for own in sessions)} windows. "
        f"Data hash {figures['data']['hash']}.",
        "",
        f"Primary endpoint, fixed in the recipe: {measured} of {primary['arm']} against "
        f"{recipe['baseline']}, protocol {primary['protocol']}. All other p-values are adjusted for their number "
        "(Holm). Intervals are 95 %, by a bootstrap over seeds and persons; n is the number of persons where there are "
        "too few.",
    ]
    for name, protocol in figures["protocols"].items():
        lines += ["", f"## Protocol {name}", "", protocol["why"], ""]
        if protocol["leak"]:
            lines += [f"**Warning: {protocol['leak']}.**", ""]
        lines += _table(protocol["arms"], MEASURES)
        lines += ["", f"Split: {protocol['split_file']}, SHA-256 {protocol['split_sha256']}. {protocol['looked_at']}."]
        if protocol["unknown_answers"]:
            lines += [
                f"{protocol['unknown_answers']} test windows have an answer that training lacks, and count as wrong."
            ]
        if protocol["tuned"]:
            lines += [f"Chosen by validation: {json.dumps(protocol['tuned'], ensure_ascii=False)}."]
        if recipe["questions"]:
            lines += ["", *_question_text(recipe, figures["questions"], protocol["questions"])]
    if recipe["references"]:
        lines += ["", "## Published figures", "", "| work | measure | value | source |", "|---|---|---|---|"]
        lines += [
            f"| {own['name']} | {own['measure']} | {own['value']:g} | {own['source']}"
            f"{'' if own['checked'] else ' (**not checked at its source**)'} |"
            for own in recipe["references"]
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


def _question_figures(recipe: Recipe, parts: Sequence[Path]) -> dict[str, Any]:
    """Return the figures of all arms on the questions of one protocol, and what was not asked, by reason."""
    runs: dict[tuple[str, int], list[dict[str, Any]]] = {
        (arm, seed): [
            json.loads(path.read_text(encoding="utf-8"))
            for part in parts
            if (path := part / "runs" / _run(arm, seed) / QUESTIONS).is_file()
        ]
        for arm in recipe.arms
        for seed in recipe.seeds
    }
    first = runs[recipe.baseline, recipe.seeds[0]]
    arms = {
        arm: [_pooled([part["persons"] for part in runs[arm, seed]]) for seed in recipe.seeds] for arm in recipe.arms
    }
    asked = [own for part in first for own in part["asked"]]
    excluded: Counter[str] = sum((Counter(part["excluded"]) for part in first), Counter())
    return {
        "asked": len(asked),
        "tasks": dict(Counter(own["task"] for own in asked)),
        "chance": float(np.mean([1 / len(own["options"]) for own in asked])),
        "excluded": dict(excluded),
        "arms": _estimates(arms, recipe.baseline, CHOICE_MEASURES),
    }


def _question_text(recipe: Mapping[str, Any], files: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    if not found:
        return ["**Warning: questions are not asked in this protocol: its test sessions are in training too.**"]
    excluded = reasons_text(Counter(files["excluded"]) + Counter(found["excluded"])) or "none"
    tasks = ", ".join(f"{count} {task}" for task, count in found["tasks"].items())
    lines = [
        f"Questions: {found['asked']} of {files['questions']} were asked ({tasks}); left out: {excluded}. "
        f"Chance is {found['chance']:.3f}.",
        "",
    ]
    if recipe["questions"]["asked"] == "file":
        lines += ["**Warning: the text of the questions is shown, and it may name what the person looked at.**", ""]
    lines += [*_table(found["arms"], CHOICE_MEASURES), ""]
    lines += [f"- {name}, SHA-256 {digest}" for name, digest in files["files"].items()]
    return lines


def _estimates(
    arms: Mapping[str, Sequence[Mapping[str, Any]]], baseline: str, measures: Mapping[str, tuple[str, str, int]]
) -> dict[str, dict[str, Any]]:
    """Return the value of each measure of each arm, and its difference from the baseline."""
    return {
        arm: {
            name: {
                "value": _plain(_estimate(runs, measure)),
                "difference": None if arm == baseline else _plain(_estimate(runs, measure, arms[baseline])),
            }
            for name, measure in measures.items()
        }
        for arm, runs in arms.items()
    }


def _table(arms: Mapping[str, Any], measures: Mapping[str, tuple[str, str, int]]) -> list[str]:
    titles = [title for title, _, _ in measures.values()]
    lines = ["| arm | " + " | ".join(f"{title} | difference | p" for title in titles) + " |"]
    lines += ["|---|" + "---|---|---|" * len(titles)]
    for arm, found in arms.items():
        cells = [arm]
        for measure in measures:
            cells += [_span(found[measure]["value"])]
            difference = found[measure]["difference"]
            cells += ["", ""] if difference is None else [_span(difference), _p(difference)]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _estimate(
    runs: Sequence[Mapping[str, Any]], measure: tuple[str, str, int], baseline: Sequence[Mapping[str, Any]] = ()
) -> Estimate:
    _, statistic, place = measure
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

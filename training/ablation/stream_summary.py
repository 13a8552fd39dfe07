"""Scores of the stream of an ablation's runs, with rules and the ceiling beside them, and their means over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.ablation.plan import NATS, Primary, Run
from training.ablation.statistics import Mean, mean_over_seeds, number_at
from training.evaluation.person_bootstrap import Estimate, PersonCounts, hierarchical_bootstrap, holm

STREAM = "stream.json"  # in the output folder
CLOCK, CEILING = "clock", "ceiling"  # references between which a share of the way is measured

# Measures: name in the tables -> path in the scores of one kind of session, see prediction.stream_scores.score_stream.
MEASURES = {
    NATS: (NATS,),
    "average_precision": ("average_precision",),
    "point_average_precision": ("point_average_precision",),
    "recall_at_0_9": ("at_precision_0.9", "recall"),
    "anticipated_0_5_s_at_0_9": ("at_precision_0.9", "anticipated_0_5_s"),
    "false_starts_per_minute_at_0_9": ("at_precision_0.9", "false_starts_per_minute"),
    "flips_per_action_at_0_9": ("at_precision_0.9", "flips_per_action"),
    "time_to_start_error_s": ("time_to_start_error_s",),
    "calibration_error": ("calibration_error",),
}
_WAY = (NATS, "point_average_precision")  # measures of which the share of the way from clock to ceiling is given


@dataclass(frozen=True)
class StreamRow:
    """Scores of one run, or of one reference, on one kind of held-out session."""

    arm: str  # or the name of a rule, or CEILING
    sweep: str
    value: str
    seed: int
    sessions: str  # kind of session: its scene
    is_reference: bool
    moments: int
    measures: Mapping[str, float]
    single_nats: float  # negative log-likelihood of single answers, without the filter; NaN of a reference
    persons: Mapping[str, Sequence[float]]  # person -> (moments, sum of their losses, nats)


def stream_rows(
    results: Iterable[tuple[Run, Mapping[str, Any]]], references: Mapping[int, Mapping[str, Mapping[str, Any]]]
) -> list[StreamRow]:
    """Return a row for each run of a stream, each reference, and each kind of session.

    results: (run, its scores). references: seed -> scene -> name -> scores, see reference.given_sessions.
    """
    rows = [
        _row(Run(name, "", None, seed, {}), sessions, scores, {}, is_reference=True)
        for seed, scenes in references.items()
        for sessions, named in scenes.items()
        if sessions != "all"
        for name, scores in named.items()
    ]
    for run, scores in results:
        for sessions, own in scores.get("stream", {}).items():
            if sessions != "all":
                rows.append(_row(run, sessions, own, scores["stream_single"][sessions], is_reference=False))
    return rows


def _row(
    run: Run, sessions: str, scores: Mapping[str, Any], single: Mapping[str, Any], is_reference: bool
) -> StreamRow:
    measures = {name: number_at(scores, path) for name, path in MEASURES.items()}
    return StreamRow(
        run.arm, run.sweep, run.value_text, run.seed, sessions, is_reference, scores["moments"], measures,
        number_at(single, (NATS,)), scores["losses_by_person"],
    )  # fmt: skip


def stream_summary(rows: Sequence[StreamRow], baseline: str, primary: Primary | None = None) -> list[dict[str, Any]]:
    """Return one line for each kind of session, reference or arm, and value of a sweep.

    Measures are means over seeds. `difference` is in nats, to the baseline with the same seed (below 0 is better), with
    an interval over seeds and persons; its `p` is as it is for `primary`, and adjusted for the number of all other arms
    (Holm) elsewhere. `way` is the share of the way from clock to ceiling, by seed; None without references.
    """
    lines: list[dict[str, Any]] = []
    for key in dict.fromkeys((row.sessions, row.sweep, row.arm, row.value) for row in rows):
        own = [row for row in rows if (row.sessions, row.sweep, row.arm, row.value) == key]
        sessions, sweep, arm, value = key
        of_seed = {row.seed: row for row in rows if (row.sessions, row.arm) == (sessions, baseline) and not row.sweep}
        pairs = [(row, of_seed[row.seed]) for row in own if row.seed in of_seed]
        difference = None
        if pairs and arm != baseline and all(row.moments == other.moments for row, other in pairs):
            ours, others = zip(*pairs, strict=True)
            difference = hierarchical_bootstrap(_losses(ours), baseline=_losses(others), draws=1000)
        lines.append(
            {"sessions": sessions, "sweep": sweep, "arm": arm, "value": value, "seeds": len(own)}
            | {"is_reference": own[0].is_reference, "moments": sum(row.moments for row in own)}
            | {name: mean_over_seeds([row.measures[name] for row in own]) for name in MEASURES}
            | {"single_nats": mean_over_seeds([row.single_nats for row in own])}
            | {"way": {name: _way(own, rows, name) for name in _WAY}}
            | {"difference": difference, "p": None}
        )
    _adjust(lines, primary)
    return lines


def _adjust(lines: Sequence[dict[str, Any]], primary: Primary | None) -> None:
    compared = [line for line in lines if line["difference"] is not None and not line["is_reference"]]
    main = (primary.arm, primary.sessions, "") if primary and primary.measure == NATS else None
    others = [line for line in compared if (line["arm"], line["sessions"], line["sweep"]) != main]
    for line in compared:
        line["p"] = line["difference"].p
    for line, p in zip(others, holm([line["difference"].p for line in others]), strict=True):
        line["p"] = p


def _losses(rows: Sequence[StreamRow]) -> list[PersonCounts]:
    """Return moments as windows and their losses as hits: the share of hits is then the mean loss, nats."""
    return [
        PersonCounts(
            tuple(row.persons),
            ("moments",),
            np.array([[float(moments)] for moments, _ in row.persons.values()]),
            np.array([[float(loss)] for _, loss in row.persons.values()]),
        )
        for row in rows
    ]


def _way(own: Sequence[StreamRow], rows: Sequence[StreamRow], measure: str) -> Mean | None:
    """Return which share of the way from the clock to the ceiling `own` goes, as the mean over seeds."""
    references = {
        (row.arm, row.seed): row.measures[measure]
        for row in rows
        if row.is_reference and row.sessions == own[0].sessions
    }
    shares = [
        (row.measures[measure] - references[CLOCK, row.seed])
        / (references[CEILING, row.seed] - references[CLOCK, row.seed])
        for row in own
        if (CLOCK, row.seed) in references and (CEILING, row.seed) in references
    ]
    return mean_over_seeds(shares) if shares else None


def json_lines(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the lines as plain values for JSON: a mean as its value, half width and seeds; NaN as None."""
    return [{name: _json(value) for name, value in line.items()} for line in lines]


def _json(value: Any) -> Any:
    if isinstance(value, Mean):
        return {"value": _json(value.value), "half_width": _json(value.half_width), "seeds": value.seeds}
    if isinstance(value, Estimate):
        return {name: _json(getattr(value, name)) for name in ("value", "low", "high", "seeds", "persons")}
    if isinstance(value, Mapping):
        return {name: _json(own) for name, own in value.items()}
    if isinstance(value, float):
        return round(value, 5) if np.isfinite(value) else None
    return value


_COLUMNS = {
    NATS: "nats a moment",
    "average_precision": "AP",
    "point_average_precision": "AP of starts",
    "recall_at_0_9": "recall",
    "anticipated_0_5_s_at_0_9": "0.5 s ahead",
    "false_starts_per_minute_at_0_9": "false starts a minute",
    "time_to_start_error_s": "time error, s",
    "calibration_error": "calibration",
}


def stream_markdown(lines: Sequence[Mapping[str, Any]], sessions: str, sweep: str = "") -> str:
    """Return the table of one kind of session as Markdown, from lines of `json_lines`."""
    names = [*_COLUMNS.values(), "way to the ceiling", "difference to the baseline, nats", "p"]
    text = [f"| {sessions} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for line in lines:
        if line["sessions"] != sessions or (line["sweep"] != sweep):
            continue
        name = f"*{line['arm']}*" if line["is_reference"] else line["arm"]
        cells = [_cell(line[measure]) for measure in _COLUMNS]
        cells.append(_cell((line["way"] or {}).get(NATS)))
        found = line["difference"]
        of_arm = found is not None and not line["is_reference"]
        cells.append(
            f"{found['value']:+.3f} ({found['low']:+.3f} to {found['high']:+.3f})"
            if of_arm and found["low"] is not None
            else f"{found['value']:+.3f}"
            if of_arm
            else ""
        )
        cells.append(f"{line['p']:.3f}" if of_arm and line["p"] is not None else "")
        of_value = f", {line['value']}" if sweep else ""
        text.append(f"| {name}{of_value} | {' | '.join(cells)} |")
    return "\n".join(text)


def all_markdown(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return the tables of all kinds of session and all sweeps."""
    kinds = dict.fromkeys((line["sessions"], line["sweep"]) for line in lines)
    return "\n\n".join(stream_markdown(lines, sessions, sweep) for sessions, sweep in kinds) + "\n"


def _cell(mean: Mapping[str, Any] | None) -> str:
    if mean is None or mean["value"] is None:
        return ""
    spread = mean["half_width"]
    return f"{mean['value']:.2f}" if spread is None else f"{mean['value']:.2f} ± {spread:.2f}"

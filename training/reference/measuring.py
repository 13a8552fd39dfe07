"""Figures of rules and ceilings on held-out sessions: accuracy before each action, and beliefs at all moments."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from gaze_vlm_ros.prediction.believed_stream import Floats, Ints
from gaze_vlm_ros.prediction.stream_scores import joint_losses, person_interval, score_stream, stream_table
from gaze_vlm_ros.sim.bench_settings import BenchSettings
from training.reference.models import MODELS
from training.reference.observer import CEILINGS, ceiling
from training.reference.rules import READS_GAZE, RULES, fit_rule
from training.reference.seen import (
    Noise,
    Question,
    Seen,
    Table,
    believed,
    lead_rows,
    see,
    stream_rows,
    truth_of,
)

LEADS_S = (0.15, 0.3, 0.45, 0.6, 0.75, 0.9)  # before contact
_SEES_GAZE = READS_GAZE | {name for name, sees in CEILINGS.items() if sees.gaze}

Answer = Callable[[Seen, Ints], Table]


def measure(
    training: Sequence[BenchSettings],
    held_out: Sequence[BenchSettings],
    question: Question,
    particles: int,
    jobs: int = 1,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Return the figures of all rules, fitted on training sessions, and of all ceilings, on held-out sessions.

    All are of one bench. Intervals are by person, 95 %. particles: of each ceiling; 0 = no ceilings. jobs: processes
    for the ceilings. say: is given a line after each rule or ceiling.
    """
    seen = [see(settings) for settings in held_out]
    answers: dict[str, Any] = {}
    losses: dict[str, Floats] = {}
    for name, tables in _all_tables([see(settings) for settings in training], seen, question, particles, jobs):
        answers[name], losses[name] = _figures(seen, tables, question)
        answers[name]["sees_gaze"] = name in _SEES_GAZE
        say(f"bench {held_out[0].bench}, {name}: {answers[name]['stream']['negative_log_likelihood']:.3f} nats")
    return {
        "bench": held_out[0].bench,
        "training_sessions": len(training),
        "held_out_sessions": len(held_out),
        "first_held_out_seed": held_out[0].seed,
        "actions": answers["label prior"]["stream"]["actions"],
        "question": asdict(question),
        "noise": asdict(Noise()),
        "particles": particles,
        "answers": answers,
        "margins": _margins(losses, seen, question) if particles else {},
    }


def _all_tables(
    training: Sequence[Seen], held_out: Sequence[Seen], question: Question, particles: int, jobs: int
) -> Iterator[tuple[str, list[Table]]]:
    """Yield the name of each rule and ceiling, with its beliefs at all asked rows of each held-out session."""
    looks = {name: partial(_look, name=name, question=question, particles=particles) for name in CEILINGS}
    with ExitStack() as stack:
        begun: dict[str, Iterator[Table]] = {}
        if particles and jobs > 1:  # beside the rules
            spawned = multiprocessing.get_context("spawn")
            pool = stack.enter_context(ProcessPoolExecutor(jobs, mp_context=spawned))
            begun = {name: pool.map(look, [seen.settings for seen in held_out]) for name, look in looks.items()}
        for name, rule in RULES.items():
            fitted = fit_rule(rule, training, question)
            yield name, [fitted.answer(seen, _rows(seen, question)) for seen in held_out]
        for name, look in looks.items() if particles else ():
            yield name, list(begun[name] if begun else (look(seen.settings) for seen in held_out))


def _look(settings: BenchSettings, name: str, question: Question, particles: int) -> Table:
    seen = see(settings)
    return ceiling(seen, _rows(seen, question), CEILINGS[name], MODELS[settings.bench], question, particles)


def _rows(seen: Seen, question: Question) -> Ints:
    """Return all rows at which a session is asked: those of the stream, and those before each action."""
    leads = [lead_rows(seen, lead_s, question)[0] for lead_s in LEADS_S]
    return np.unique(np.concatenate([stream_rows(seen, question), *leads]))


def _figures(held_out: Sequence[Seen], tables: Sequence[Table], question: Question) -> tuple[dict[str, Any], Floats]:
    """Return the figures of one rule or ceiling, and its loss at each moment of the stream, nats."""
    persons = tuple(seen.settings.person for seen in held_out)
    every = np.arange(len(held_out))
    leads: dict[str, Any] = {}
    for lead_s in LEADS_S:
        hits, gains = [], []  # of each session
        for seen, table in zip(held_out, tables, strict=True):
            rows, actions = lead_rows(seen, lead_s, question)
            begins = table.begins[np.searchsorted(_rows(seen, question), rows)].sum(axis=2)
            hits.append(begins.argmax(axis=1) == actions)
            shares = begins / begins.sum(axis=1, keepdims=True)
            gains.append(np.log(shares[np.arange(len(rows)), actions]))
        leads[f"{lead_s:g}"] = {
            "actions": sum(map(len, hits)),
            **_with_interval("accuracy", hits, persons, every),
            **_with_interval("log_likelihood", gains, persons, every),
        }
    streams = [
        Table(table.begins[at], table.nothing[at])
        for seen, table in zip(held_out, tables, strict=True)
        for at in [np.searchsorted(_rows(seen, question), stream_rows(seen, question))]
    ]
    stream = believed(held_out, streams, question)
    return {"leads": leads, "stream": score_stream(stream)}, joint_losses(stream)


def _with_interval(
    name: str, values: Sequence[Any], persons: tuple[str, ...], every: Ints
) -> dict[str, float | tuple[float, float]]:
    def mean(sessions: Ints) -> float:
        return float(np.concatenate([values[number] for number in sessions]).mean())

    return {name: mean(every), f"{name}_interval": person_interval(persons, every, mean, draws=1000)}


def _margins(losses: dict[str, Floats], held_out: Sequence[Seen], question: Question) -> dict[str, Any]:
    """Return by how much the ceiling of pixels, and that with gaze, are above each rule: nats a moment, paired."""
    session = np.repeat(np.arange(len(held_out)), [len(truth_of(seen, stream_rows(seen, question), question)[0])
                                                   for seen in held_out])  # fmt: skip
    persons = tuple(seen.settings.person for seen in held_out)
    *_, pixels, gaze = CEILINGS
    margins: dict[str, Any] = {}
    for name in [*RULES, *list(CEILINGS)[:-1]]:
        top = gaze if name in _SEES_GAZE or name == pixels else pixels
        above = losses[name] - losses[top]
        groups = [above[session == number] for number in range(len(held_out))]
        margins[name] = {"below": top, **_with_interval("nats", groups, persons, np.arange(len(held_out)))}
    return margins


def text(figures: dict[str, Any]) -> str:
    """Return the main figures of one bench as text."""
    lines = [
        f"bench {figures['bench']}: {figures['held_out_sessions']} sessions, each of another person, "
        f"{figures['actions']} actions; rules fitted on {figures['training_sessions']} others",
        "",
        "right object, s before contact".ljust(34) + "".join(f"{lead_s:>8g}" for lead_s in LEADS_S),
    ]
    for name, answer in figures["answers"].items():
        cells = [answer["leads"][f"{lead_s:g}"] for lead_s in LEADS_S]
        lines.append(name.ljust(34) + "".join(f"{cell['accuracy']:>8.2f}" for cell in cells))
    lines += ["", stream_table({name: answer["stream"] for name, answer in figures["answers"].items()})]
    if figures["margins"]:
        lines += ["", "nats a moment below the ceiling, with 95 % interval by person"]
    for name, margin in figures["margins"].items():
        low, high = margin["nats_interval"]
        lines.append(f"{name:<34}{margin['nats']:>8.3f}  ({low:.3f} to {high:.3f}) below {margin['below']!r}")
    return "\n".join(lines)


def markdown(figures: dict[str, Any]) -> str:
    """Return the main figures of one bench as a Markdown table."""
    lead_cells = " | ".join(f"{lead_s:g} s" for lead_s in LEADS_S)
    lines = [
        f"| bench {figures['bench']} | {lead_cells} | nats a moment | starts | below the ceiling, nats |",
        "|---" * (len(LEADS_S) + 4) + "|",
    ]
    for name, answer in figures["answers"].items():
        accuracies = " | ".join(f"{answer['leads'][f'{lead_s:g}']['accuracy']:.2f}" for lead_s in LEADS_S)
        stream = answer["stream"]
        low, high = stream["intervals"]["negative_log_likelihood"]
        nats = f"{stream['negative_log_likelihood']:.3f} ({low:.2f} to {high:.2f})"
        margin = figures["margins"].get(name)
        below = "{:.3f} ({:.3f} to {:.3f})".format(margin["nats"], *margin["nats_interval"]) if margin else ""
        starts = f"{stream['point_average_precision']:.2f}"
        lines.append(f"| {name} | {accuracies} | {nats} | {starts} | {below} |")
    return "\n".join(lines)

"""The figures of a run of the workbench demo: which ones are kept, and how they are printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def held_out_figures(scores: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Pick the figures of one evaluation that go into the summary, by kind of scene."""
    return {
        scene: {
            "windows": group["windows"],
            "sessions": group["sessions"],
            "accuracy": group["top1"]["value"],
            "accuracy_95": [group["top1"]["low"], group["top1"]["high"]],
            "generated_exact": group["exact_match"]["value"],
            "attention_gaze_overlap": group["attention"]["top_k_overlap"],
            "attention_gaze_kl": group["attention"]["kl"],
        }
        for scene, group in scores["groups"].items()
    }


# What summary.json holds of a stream, and of its operating point at a precision of 0.9.
STREAM = ("average_precision", "point_average_precision", "negative_log_likelihood", "time_to_start_error_s",
          "calibration_error", "moments", "actions")  # fmt: skip
OPERATING_POINT = "at_precision_0.9"
AT_POINT = ("threshold", "recall", "anticipated", "anticipated_0_5_s", "anticipation_median_s",
            "false_starts_per_minute", "early_starts_per_minute", "flips_per_action")  # fmt: skip


def stream_figures(
    evaluations: Mapping[str, dict[str, Any]], reference: Mapping[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Pick the figures of streams that go into the summary: scene -> arm, "clock" and "ceiling" -> figures.

    evaluations: scores of each arm. reference: scene -> "clock" and "ceiling" -> scores on the same sessions.
    """
    found: dict[str, dict[str, Any]] = {}
    streams = {arm: scores["stream"] for arm, scores in evaluations.items()}
    streams |= {name: {scene: reference[scene][name] for scene in reference} for name in ("clock", "ceiling")}
    for arm, of_arm in streams.items():
        for scene, figures in of_arm.items():
            point = {name: figures[OPERATING_POINT][name] for name in AT_POINT}
            found.setdefault(scene, {})[arm] = {name: figures[name] for name in STREAM} | {OPERATING_POINT: point}
    return found


def planner_text(record: Mapping[str, Any]) -> str:
    """Return a planner's record in words."""
    counts = f"{record['right']} right starts, {record['wrong']} wrong, {record['early']} too early"
    if record["open"]:
        counts += f", {record['open']} open at the end"
    lead = record["lead_s"]
    early = (
        f"; right ones {lead['least']:.2f} to {lead['most']:.2f} s before, median {lead['median']:.2f} s"
        if lead
        else ""
    )
    return f"{counts}; it helped with {record['actions_helped']} of {record['actions']} actions{early}"


def print_summary(summary: dict[str, Any], arms: Iterable[str], out: Path) -> None:
    """Print the figures of a run.

    summary: contents of summary.json. arms: the fits, in the order of the table.
    """
    print(f"\n{'held-out sessions':<18}{'fit':<18}{'accuracy':>9}{'95 % interval':>16}{'attention on gaze':>19}")
    arms = list(arms)
    scenes = list(summary["held_out"][arms[0]])
    for scene in scenes:
        for arm in arms:
            figures = summary["held_out"][arm][scene]
            low, high = figures["accuracy_95"]
            span = f"{low:.2f} to {high:.2f}" if low is not None else "-"
            print(
                f"{scene:<18}{arm:<18}{figures['accuracy']:>9.3f}{span:>16}{figures['attention_gaze_overlap']:>19.3f}"
            )
    for scene, arms_of in summary["stream"].items():
        for arm, figures in arms_of.items():
            point = figures[OPERATING_POINT]
            print(
                f"stream, {scene}, {arm}: average precision {_text(figures['average_precision'])}; at precision 0.9 it "
                f"anticipates {_text(point['anticipated'])} of the actions, with "
                f"{_text(point['false_starts_per_minute'])} false starts a minute"
            )
    live, recorded = summary["live"], summary["recorded"]
    latency = live["latency_ms"]
    print(f"\nrecorded: {recorded['messages']} messages, {recorded['lost']} lost")
    if live["answered_frames"]:
        early = live["median_lead_s"]
        when = "" if early is None else f", median {early:.2f} s before they began"
        print(
            f"live: {live['predictions']} predictions, camera to consumer p50 {latency['p50']:.0f} ms, "
            f"p95 {latency['p95']:.0f} ms; right for {live['accuracy'] or 0:.0%} of {live['actions']} actions{when}"
        )
    print(f"planner: {planner_text(live['planner'])}")
    print(f"{summary['duration_s'] / 60:.1f} minutes; {out / 'summary.json'}, {out / 'report.html'}")


def _text(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"

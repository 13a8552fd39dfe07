"""The figures of a run of the workbench demo: which ones are kept, and how they are printed."""

from __future__ import annotations

from collections.abc import Iterable
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
    live, recorded = summary["live"], summary["recorded"]
    latency = live["latency_ms"]
    print(f"\nrecorded: {recorded['messages']} messages, {recorded['lost']} lost")
    if live["answered_frames"]:
        print(
            f"live: {live['predictions']} predictions, camera to consumer p50 {latency['p50']:.0f} ms, "
            f"p95 {latency['p95']:.0f} ms; right for {live['accuracy']:.0%} of {live['actions']} actions, "
            f"median {live['median_lead_s']:.2f} s before they began"
        )
    print(f"{summary['duration_s'] / 60:.1f} minutes; {out / 'summary.json'}, {out / 'report.html'}")

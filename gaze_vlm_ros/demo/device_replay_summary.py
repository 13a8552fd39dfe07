"""Print the figures of a run of the demo on a real recording."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def print_summary(summary: dict[str, Any], out: Path) -> None:
    """Print the figures of a run. summary: contents of summary.json."""
    recorded, fitted, live = summary["recorded"], summary["fit"], summary["live"]
    gaze, labels, latency_ms = summary["check"]["gaze_on_frames"], recorded["scripted_labels"], live["latency_ms"]
    print()
    for stream in summary["check"]["streams"]:
        print(
            f"{stream['name']}: {stream['recorded']} recorded, {stream['delivered']} delivered by the client, "
            f"{stream['in_bag']} of those in the bag; acquisition times within {stream['header_error_ms']:.3f} ms"
        )
    print(
        f"gaze on {gaze['frames']} frames: {gaze['difference_px']['max']:.4f} px from the recording at most\n"
        f"labels: {labels['in_bag']} of {labels['published']} in the bag; scripted, they mean nothing about the video\n"
        f"fit: {fitted['windows']} windows, {fitted['gaze_share']:.0%} with gaze, {fitted['steps']} steps, "
        f"KL to gaze {fitted['first']['kl']:.3f} to {fitted['last']['kl']:.3f}\n"
        f"live: {live['predictions']} predictions on {live['answered_frames']} of {live['frames']} frames, "
        f"without gaze; acquisition to consumer p50 {latency_ms['p50']:.0f} ms, p95 {latency_ms['p95']:.0f} ms; "
        f"{live['frames_dropped']} frames dropped\n"
        f"{summary['duration_s']:.0f} s; {out / 'summary.json'}"
    )

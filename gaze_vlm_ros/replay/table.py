"""Format the scores of a replay for a terminal."""

from __future__ import annotations

from typing import Any

from gaze_vlm_ros.prediction.stream_scores import TARGET_PRECISIONS


def table(figures: dict[str, Any]) -> str:
    """Format all scores. figures: what score.score returns and what command.run_replay adds."""
    counts = ", ".join(f"{name} {count}" for name, count in figures["status_counts"].items())
    lines = [
        f"{figures['model_id']} on {figures['bag']}: {figures['actions']} actions in {figures['minutes']:.1f} minutes, "
        f"{figures['moments']} queries ({counts}), horizon {figures['horizon_s']:g} s",
        *(f"  {count} times no answer: {text}" for text, count in figures["no_answer"].items()),
    ]
    if figures["trained_on"]:
        lines.append("  THE MODEL WAS TRAINED ON THIS RECORDING or chosen by it: this is not a test")
    if figures["unknown_actions"]:
        lines.append(f"  not among the model's answers and counted as missed: {', '.join(figures['unknown_actions'])}")
    lines += ["", *horizon_rows(figures), "", *(f"{name:<16}{text}" for name, text in single_figures(figures))]
    return "\n".join(lines)


def horizon_rows(figures: dict[str, Any]) -> list[str]:
    """Header, and one row per horizon."""
    head = ("horizon", "moments", "recall", "class mean", "most frequent", "actions", "anticipated")
    rows = [
        (
            f"{h['horizon_s']:g} s", str(h["moments"]), share(h["recall"]), share(h["class_mean_recall"]),
            share(h["most_frequent"]), str(h["actions"]), share(h["anticipated"]),
        )
        for h in figures["horizons"]
    ]  # fmt: skip
    return ["".join(f"{cell:>14}" for cell in row) for row in (head, *rows)]


def single_figures(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and text of each score that does not depend on a horizon."""
    precision, anticipation = figures["precision"], figures["anticipation"]
    calibration, age_s = figures["calibration"], figures["evidence_age_s"]
    found = anticipation["actions"]
    right = sum(each["time_s"] > 0 for each in found)
    unknown = f"; {precision['unknown']} at the end unknown" if precision["unknown"] else ""
    return [
        (
            "precision",
            f"{share(precision['value'])} of {precision['answers']} OK answers ({precision['nothing_began']} where "
            f"nothing began within {figures['horizon_s']:g} s); coverage {share(precision['coverage'])}{unknown}",
        ),
        (
            "anticipation",
            f"{right} of {len(found)} actions, median {number(anticipation['median_s'])} s (0 if not anticipated)",
        ),
        (
            "flips",
            f"{number(figures['flips_per_minute'])} per minute; "
            f"{number(figures['actions_per_minute'])} actions per minute",
        ),
        (
            "calibration",
            f"expected error {share(calibration['error'])} ({figures['score_kind']}): mean probability "
            f"{share(calibration['mean_probability'])}, right {share(calibration['share_right'])}",
        ),
        (
            "evidence age",
            ", ".join(f"{name} {'-' if s is None else f'{1e3 * s:.0f}'} ms" for name, s in age_s.items())
            + ", recorded delay plus inference on this machine",
        ),
    ]


def stream_figures(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and text of the main scores of what begins when, as published; none where the messages do not say it."""
    stream = figures.get("stream")
    if not stream:
        return []
    rows = [
        ("negative log-likelihood", f"{share(stream['negative_log_likelihood'])} nats"),
        ("average precision", f"{share(stream['average_precision'])} of moments, "
         f"{share(stream['point_average_precision'])} of starts of answers"),
    ]  # fmt: skip
    for target in TARGET_PRECISIONS:
        point = stream[f"at_precision_{target:g}"]
        rows.append((
            f"at a precision of {target:g}",
            f"recall {share(point['recall'])}; anticipated {share(point['anticipated'])} of the actions, "
            f"{share(point['anticipated_0_5_s'])} for 0.5 s or more; {number(point['false_starts_per_minute'])} false "
            f"starts per minute, {number(point['flips_per_action'])} starts per action",
        ))  # fmt: skip
    return [
        *rows,
        ("time to start", f"mean error {share(stream['time_to_start_error_s'])} s; the right action within 0.25 s at "
         f"{share(stream['right_within_0_25_s'])} of the moments before one"),
        ("calibration error", f"{share(stream['calibration_error'])} of the best action, "
         f"{share(stream['calibration_error_nothing'])} of nothing"),
    ]  # fmt: skip


def now_figures(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and text of the scores of what goes on now, as published; none where the messages do not say it."""
    now = figures.get("now")
    if not now:
        return []
    return [
        ("accuracy", f"{share(now['accuracy'])} of {now['moments']} moments; always the most frequent answer has "
         f"{share(now['most_frequent'])}; class mean {share(now['class_mean_recall'])}"),
        ("mean average precision", share(now["mean_average_precision"])),
        ("negative log-likelihood", f"{share(now['negative_log_likelihood'])} nats"),
        ("nothing goes on", f"{share(now['nothing_share'])} of the moments"),
    ]  # fmt: skip


def share(value: float | None) -> str:
    """Format with two decimals; a dash where there is nothing to count."""
    return "-" if value is None else f"{value:.2f}"


def number(value: float | None) -> str:
    """Format with two decimals below 10, with one above."""
    return share(value) if value is None or value < 10 else f"{value:.1f}"

# ruff: noqa: E501
"""Write the scores of a replay as one HTML file with figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.prediction.score import HORIZONS_S, ReceivedPrediction, StartedAction, next_texts
from gaze_vlm_ros.prediction.types import Status
from gaze_vlm_ros.replay.table import now_figures, number, share, single_figures, stream_figures

try:
    import jinja2
    from matplotlib.figure import Figure

    from gaze_vlm_ros.figures import COLOURS, bare, embedded, png, reliability_plot
except ImportError as error:
    raise GazeVlmError(
        f"the page needs {error.name}, which is not installed: pip install matplotlib jinja2; without --out only the table is printed"
    ) from None

ROW_S = 60.0  # length of a row of the timeline
ROWS = 10  # later rows are left out: the timeline gives an impression, not figures
TEXTS = 20


def write_page(
    path: Path, figures: dict[str, Any], moments: Sequence[ReceivedPrediction], actions: Sequence[StartedAction]
) -> None:
    """Write the page. figures: see replay.table.table. moments, actions: for the timeline."""
    calibration = figures["calibration"]
    curve = {"answers": {**calibration, "error": calibration["error"] or 0.0}}
    page = PAGE.render(
        figures=figures,
        share=share,
        rows=single_figures(figures),
        parts=[
            ("What begins when, at all moments", stream_figures(figures)),
            ("What goes on now", now_figures(figures)),
        ],
        ahead=embedded(anticipation_plot(figures)),
        selective=embedded(selective_plot(figures)),
        reliability=embedded(reliability_plot(curve)) if calibration["error"] is not None else None,
        timeline=embedded(timeline(moments, actions, figures["horizon_s"])),
        number=number,
        first_ns=moments[0].stamp_ns,
    )
    path.write_text(page, encoding="utf-8")


def anticipation_plot(figures: dict[str, Any]) -> bytes:
    """Plot the share of actions whose right answer had come and stayed, over the time before they began; a PNG."""
    found = figures["anticipation"]["actions"]
    figure = Figure(figsize=(4.4, 3.6))
    axes = figure.subplots()
    for key, colour, label in (
        ("at_most_s", COLOURS[1], "no other action began since"),
        ("time_s", COLOURS[0], "right, and stayed right"),
    ):
        times_s = sorted(each[key] for each in found)
        steps = [0.0, *times_s]
        left = [len(found), *(len(found) - n - 1 for n in range(len(times_s)))]
        axes.step(steps, [n / max(1, len(found)) for n in left], where="post", color=colour, linewidth=2, label=label)
    for horizon_s in HORIZONS_S:
        axes.axvline(horizon_s, color="black", linestyle=":", linewidth=0.7)
    axes.set(
        xlabel="before the action began, s", ylabel="share of actions", xlim=(0, 1.1 * HORIZONS_S[-1]), ylim=(0, 1.05)
    )
    axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0.0, 1.0))
    bare(axes)
    return png(figure)


def selective_plot(figures: dict[str, Any]) -> bytes:
    """Plot precision over coverage for all thresholds, and the point of the predictor's threshold; a PNG."""
    curve, precision = figures["selective_curve"], figures["precision"]
    figure = Figure(figsize=(4.4, 3.6))
    axes = figure.subplots()
    axes.plot(curve["coverage"], curve["precision"], color=COLOURS[0], linewidth=1.5, label="any threshold")
    if precision["value"] is not None:
        axes.plot(precision["coverage"], precision["value"], "o", color=COLOURS[2], label="as configured")
    axes.set(xlabel="coverage: share of answers given as OK", ylabel="precision: share of them that is right")
    axes.set(xlim=(0, 1.02), ylim=(0, 1.05))
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    bare(axes)
    return png(figure)


def timeline(moments: Sequence[ReceivedPrediction], actions: Sequence[StartedAction], horizon_s: float) -> bytes:
    """Plot answers, right or wrong, and actions over time, in rows of ROW_S seconds; a PNG."""
    first_ns = moments[0].stamp_ns
    count = min(ROWS, 1 + int((moments[-1].stamp_ns - first_ns) / 1e9 // ROW_S))
    seen = [text for text in [*(a.text for a in actions), *(m.answer for m in moments)] if text]
    texts = sorted(set(seen), key=seen.count)[-TEXTS:]
    places = {text: place for place, text in enumerate(texts)}
    truths = next_texts([moment.stamp_ns for moment in moments], actions, horizon_s)
    kinds = {
        "right": (
            "o",
            COLOURS[0],
            [m.status == Status.OK and m.answer == t for m, t in zip(moments, truths, strict=True)],
        ),
        "wrong": (
            "x",
            COLOURS[2],
            [m.status == Status.OK and m.answer != t for m, t in zip(moments, truths, strict=True)],
        ),
        "abstained": (".", COLOURS[1], [m.status == Status.ABSTAIN for m in moments]),
    }
    figure = Figure(figsize=(11, count * (0.7 + 0.2 * len(texts))))
    for row, axes in enumerate(figure.subplots(count, 1, squeeze=False)[:, 0]):
        for name, (marker, colour, chosen) in kinds.items():
            own = [m for m, is_one in zip(moments, chosen, strict=True) if is_one and m.answer in places]
            times_s = [(m.stamp_ns - first_ns) / 1e9 for m in own]
            axes.plot(times_s, [places[m.answer] for m in own], marker, color=colour, markersize=4, label=name)
        began = [action for action in actions if action.text in places]
        starts_s = [(action.start_ns - first_ns) / 1e9 for action in began]
        axes.plot(
            starts_s,
            [places[action.text] for action in began],
            "|",
            color="black",
            markersize=14,
            markeredgewidth=2,
            label="begins",
        )
        for start_s in starts_s:
            axes.axvline(start_s, color="black", linewidth=0.4, alpha=0.5)
        axes.set_yticks(range(len(texts)), texts, fontsize=8)
        axes.set(xlim=(row * ROW_S, (row + 1) * ROW_S) if count > 1 else None, ylim=(-0.7, len(texts) - 0.3))
        axes.spines[["top", "right"]].set_visible(False)
        if not row:
            axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axes.set_xlabel("s since the first query")
    return png(figure)


PAGE = jinja2.Environment(
    autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
).from_string(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Replay: {{ figures.bag }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; background: #fff; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-size: .92rem; margin: .6rem 0; }
th, td { padding: .25rem .7rem; text-align: left; border-bottom: 1px solid #ddd; vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; } figure { margin: .5rem 0; max-width: 23rem; } figure.wide, img { max-width: 100%; }
figcaption, .note { color: #555; font-size: .88rem; } details { margin: .6rem 0; }
</style></head><body>
<h1>{{ figures.model_id }} on {{ figures.bag }}</h1>
<p class="note">{{ figures.actions }} actions in {{ "%.1f"|format(figures.minutes) }} minutes; {{ figures.moments }} queries
({% for name, count in figures.status_counts.items() %}{{ name }} {{ count }}{{ ", " if not loop.last }}{% endfor %});
an answer is right if its action is the next to begin, within {{ figures.horizon_s }} s.
The moments of one recording are not independent, and another recording gives other figures.</p>
{% for text, count in figures.no_answer.items() %}<p class="note">{{ count }} times no answer: {{ text }}</p>{% endfor %}
{% if figures.trained_on %}<p><b>The model was trained on this recording or chosen by it, so this is not a test.</b></p>{% endif %}
{% if figures.unknown_actions %}<p class="note">Not among the model's answers and counted as missed: {{ figures.unknown_actions|join(", ") }}.</p>{% endif %}

<h2>Anticipation by horizon</h2>
<table><tr><th>horizon</th><th>moments</th><th>recall</th><th>class mean</th><th>always the most frequent</th><th>actions</th><th>anticipated</th></tr>
{% for h in figures.horizons %}
<tr><td class="n">{{ "%g"|format(h.horizon_s) }} s</td><td class="n">{{ h.moments }}</td><td class="n"><b>{{ share(h.recall) }}</b></td>
<td class="n">{{ share(h.class_mean_recall) }}</td><td class="n">{{ share(h.most_frequent) }}</td><td class="n">{{ h.actions }}</td>
<td class="n">{{ share(h.anticipated) }}</td></tr>
{% endfor %}</table>
<p class="note">Recall: among the moments with an action that begins within the horizon, the share whose OK answer is that action.
Anticipated: among the actions before which no other began for the horizon, the share whose right answer had come by then and stayed.</p>
<table>{% for name, text in rows %}<tr><th>{{ name }}</th><td>{{ text }}</td></tr>{% endfor %}</table>
{% for title, own in parts if own %}<h2>{{ title }}</h2>
<table>{% for name, text in own %}<tr><th>{{ name }}</th><td>{{ text }}</td></tr>{% endfor %}</table>{% endfor %}
<div class="plots">
<figure><img alt="share of actions over the time before they began" src="{{ ahead }}">
<figcaption>How early the right answer came and stayed. Grey: the upper limit, because another action was next before.</figcaption></figure>
<figure><img alt="precision over coverage" src="{{ selective }}">
<figcaption>Effect of the threshold: a higher one gives fewer answers, and more of them right.</figcaption></figure>
{% if reliability %}<figure><img alt="share of right answers over their probability" src="{{ reliability }}">
<figcaption>Calibration ({{ figures.score_kind }}), abstained answers included; size of a dot: share of answers.</figcaption></figure>{% endif %}
</div>
<h2>Answers and actions over time</h2>
<figure class="wide"><img alt="answers and actions over time" src="{{ timeline }}"></figure>
<details><summary>Each action</summary><table><tr><th>begins, s</th><th>action</th><th>right since, s before</th><th>at most</th></tr>
{% for each in figures.anticipation.actions %}
<tr><td class="n">{{ "%.2f"|format((each.start_ns - first_ns) / 1e9) }}</td><td>{{ each.text }}</td><td class="n">{{ number(each.time_s) }}</td>
<td class="n">{{ number(each.at_most_s) }}</td></tr>
{% endfor %}</table></details>
<details><summary>Parameters</summary><table>
{% for name, value in figures.parameters.items() %}<tr><td>{{ name }}</td><td>{{ value }}</td></tr>{% endfor %}</table></details>
</body></html>
"""
)

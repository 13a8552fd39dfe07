# ruff: noqa: E501
"""Write assessments of sessions as one HTML file: a table, a timeline a session, and pictures of what stands out."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gaze_vlm_ros.assessment.baseline import Baseline
from gaze_vlm_ros.assessment.moments import MEASURES, RATE_HZ, WINDOW_S
from gaze_vlm_ros.assessment.sessions import STANDS_OUT, SessionAssessment, Span
from gaze_vlm_ros.assessment.table import HEAD, mean_text, table_row
from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.session.session import Session
from gaze_vlm_ros.video.images import DamagedImage, encode_jpeg
from gaze_vlm_ros.view.pictures import draw_gaze
from gaze_vlm_ros.view.scene import gaze_on_picture

try:
    import cv2
    import jinja2
    from matplotlib.figure import Figure

    from gaze_vlm_ros.figures import COLOURS, bare, embedded, png
except ImportError as error:
    raise GazeVlmError(
        f"the page needs {error.name}, which is not installed: pip install matplotlib jinja2; without --out only the table is printed"
    ) from None

PICTURES = 6  # of the spans that stand out most, a session: more are not looked at
PICTURE_WIDTH = 480  # px
KINDS = {"odd": "odd", "needs_help": "needs help"}


def write_page(
    path: Path,
    model_id: str,
    baseline: Baseline | None,
    sessions: Sequence[Session],
    found: Sequence[SessionAssessment],
) -> None:
    """Write the page. sessions: those that `found` is about, in the same order. Raises OSError."""
    parts = [
        {
            "each": each,
            # Axes without a curve would show a scale that nothing was measured on.
            "timeline": embedded(timeline(each)) if any(math.isfinite(row["surprise"]) for row in each.rows) else None,
            "shown": [
                (span, picture(session, span)) for span in sorted(each.spans, key=lambda s: -s.percentile)[:PICTURES]
            ],
        }
        for session, each in zip(sessions, found, strict=True)
    ]
    page = PAGE.render(
        model_id=model_id,
        baseline=baseline,
        head=HEAD,
        rows=[table_row(each) for each in found],
        parts=parts,
        kinds=KINDS,
        measures=MEASURES,
        window_s=WINDOW_S,
        rate_hz=RATE_HZ,
        stands_out=STANDS_OUT,
        finite=math.isfinite,
        number=lambda value: mean_text([value]),
    )
    path.write_text(page, encoding="utf-8")


def timeline(each: SessionAssessment) -> bytes:
    """Plot the two scores, or without a baseline the surprise, over a session; a PNG."""
    figure = Figure(figsize=(10, 2.2))
    axes = figure.subplots()
    if each.standings:
        for name, colour in (("odd", COLOURS[2]), ("needs_help", COLOURS[0])):
            values = [getattr(standing, name) for standing in each.standings]
            axes.plot(each.times_s, values, color=colour, linewidth=1.3, label=KINDS[name])
        axes.axhline(STANDS_OUT, color="black", linestyle=":", linewidth=0.8)
        for span in each.spans:
            axes.axvspan(span.start_s, span.end_s, color=COLOURS[5], alpha=0.15, linewidth=0)
        axes.set(ylabel="percentile of normal", ylim=(0, 1.03))
    else:
        axes.plot(
            each.times_s,
            [row["surprise"] for row in each.rows],
            color=COLOURS[0],
            linewidth=1.3,
            label="surprise, nats",
        )
    axes.set(xlabel="s since the first frame", xlim=(0, max(1.0, each.times_s[-1])))
    axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
    bare(axes)
    return png(figure)


def picture(session: Session, span: Span) -> str | None:
    """Return the frame of a span with gaze on it as a data URI; None where it does not decode."""
    try:
        rgb = session.frames.rgb(span.frame)
    except DamagedImage:
        return None
    height, width, _ = rgb.shape
    size = PICTURE_WIDTH, max(1, round(height * PICTURE_WIDTH / width))
    drawn = np.empty((size[1], size[0], 3), np.uint8)
    cv2.resize(rgb, size, dst=drawn, interpolation=cv2.INTER_AREA)
    if session.gaze is not None:
        at_ns = int(session.frames.stamps_ns[span.frame])
        draw_gaze(drawn, gaze_on_picture(session.gaze, size), at_ns, PICTURE_WIDTH / 640)
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(drawn)).decode()


PAGE = jinja2.Environment(
    autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
).from_string(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Gaze assessment: {{ model_id }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; background: #fff; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; font-size: .92rem; margin: .6rem 0; display: block; overflow-x: auto; }
th, td { padding: .25rem .7rem; text-align: left; border-bottom: 1px solid #ddd; vertical-align: top; }
.shown { display: flex; flex-wrap: wrap; gap: 1rem; } figure { margin: .5rem 0; max-width: 23rem; } img { max-width: 100%; }
figcaption, .note { color: #555; font-size: .88rem; }
</style></head><body>
<h1>Gaze under the attention of {{ model_id }}</h1>
<p class="note">{% if baseline %}Baseline: {{ baseline.id }}, {{ baseline.windows }} windows. Percentiles are shares of its windows
that are lower; a window stands out above {{ stands_out }}.{% else %}No baseline: nothing here says what is normal.{% endif %}
A window is {{ "%g"|format(window_s) }} s, and one ends {{ "%g"|format(rate_hz) }} times a second.</p>
<p><b>A hint to look at the recording, not a judgement of a person.</b> High scores have many causes: another task, another way
to do it, a tracker that slipped, light.</p>
<table><tr>{% for name in head %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in rows %}<tr>{% for text in row %}<td>{{ text }}</td>{% endfor %}</tr>
{% endfor %}</table>
<p class="note">odd, needs help: share of the windows that stand out. on objects: share of the time of looks on things that the bag
names. looked first: actions whose object was looked at before the hand was there, and the median of how long before.</p>
{% for part in parts %}{% set each = part.each %}
<h2>{{ each.name }}{{ ", " ~ each.person if each.person }}</h2>
{% if each.abstains %}<p class="note">Abstains: {{ each.abstains }}.</p>{% endif %}
{% if each.suspect %}<p><b>Suspect: gaze fits {{ "%.0f"|format(100 * each.fit_elsewhere) }} % of other moments as well as its own.</b>
Clocks may be apart, or gaze may be of another recording.</p>{% endif %}
{% if part.timeline %}<img alt="scores over time" src="{{ part.timeline }}">
{% else %}<p class="note">No window of {{ "%g"|format(window_s) }} s has gaze for half of it: nothing is drawn over time.</p>
{% endif %}
<p class="note">{{ number(each.statistics.fixations_per_s) }} fixations a second, median {{ number(each.statistics.fixation_s) }} s;
{{ number(each.statistics.saccade_width) }} picture widths between them; {{ number(each.statistics.blinks_per_s) }} blinks a second;
tracked {{ number(100 * each.statistics.tracked) }} %{% if finite(each.pupil_change) %}; pupils {{ "%+.0f"|format(100 * each.pupil_change) }} % against the baseline{% endif %}.</p>
<div class="shown">{% for span, image in part.shown %}
<figure>{% if image %}<img alt="frame that stands out" src="{{ image }}">{% endif %}
<figcaption>{{ kinds[span.kind] }}, {{ "%.1f"|format(span.start_s) }} to {{ "%.1f"|format(span.end_s) }} s, percentile {{ "%.3f"|format(span.percentile) }};
the picture is of {{ "%.1f"|format(span.peak_s) }} s.</figcaption></figure>{% endfor %}</div>
{% endfor %}
<h2>Measures</h2>
<table>{% for name, text in measures.items() %}<tr><th>{{ name }}</th><td>{{ text }}</td></tr>{% endfor %}</table>
</body></html>
"""
)

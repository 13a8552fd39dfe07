# ruff: noqa: E501
"""Template of the report's HTML page."""

import jinja2

PAGE = jinja2.Environment(
    autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
).from_string(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ title }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem 1rem; color: #1a1a1a; background: #fff; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-size: .92rem; margin: .6rem 0; }
th, td { padding: .25rem .7rem; text-align: left; border-bottom: 1px solid #ddd; vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
img { max-width: 100%; } figure { margin: 1rem 0; } figcaption, .note { color: #555; font-size: .88rem; }
details { margin: .6rem 0; } code { background: #f3f3f3; padding: 0 .2em; }
</style></head><body>
<h1>{{ title }}</h1>
<p class="note">{{ settings.model }}, {{ settings.steps }} steps of {{ settings.batch_size * settings.accumulate }} windows, seed
{{ settings.seed }}; {{ data.sessions|selectattr("part", "equalto", "training")|sum("windows") }} training windows from {{ data.sessions|selectattr("part", "equalto", "training")|list|length }}
sessions; {{ labels|length }} possible answers. All figures are from sessions that no fit has seen.</p>

<h2>Accuracy on held-out sessions</h2>
<table><tr><th>sessions</th><th>fit</th><th>top-1</th><th>95 % interval</th><th>top-5</th><th>class mean</th><th>generated, exact</th>
<th>calibration error</th><th>windows</th><th>sessions</th></tr>
{% for group in groups %}{% for run in runs %}{% set s = run.evaluation.groups[group] %}
<tr><td>{{ group if loop.first else "" }}</td><td>{{ run.name }}</td><td class="n"><b>{{ "%.3f"|format(s.top1.value) }}</b></td>
<td class="n">{% if s.top1.low is not none %}{{ "%.2f to %.2f"|format(s.top1.low, s.top1.high) }}{% else %}n = {{ s.sessions }}{% endif %}</td>
<td class="n">{{ "%.3f"|format(s.top5.value) }}</td><td class="n">{{ "%.3f"|format(s.class_mean_recall.value) }}</td>
<td class="n">{{ "%.3f"|format(s.exact_match.value) }}</td><td class="n">{{ "%.3f"|format(s.calibration_error) }}</td>
<td class="n">{{ s.windows }}</td><td class="n">{{ s.sessions }}</td></tr>
{% endfor %}{% endfor %}</table>
<figure><img alt="accuracy by fit and kind of session" src="{{ bars }}">
<figcaption>Black lines: 95 % bootstrap over sessions. Answers are ranked over the closed set by the likelihood of the whole
answer; "generated, exact" is free greedy generation that must give the same text. Nothing is teacher-forced.</figcaption></figure>

{% if differences %}<h2>Differences on the same windows</h2>
<table><tr><th>sessions</th><th>top-1 of {{ runs[0].name }} minus that of</th><th>difference</th><th>95 % interval</th><th>n</th></tr>
{% for name, of in differences.items() %}{% for group, d in of.items() %}{% if d %}
<tr><td>{{ group }}</td><td>{{ name }}</td><td class="n">{{ "%+.3f"|format(d.value) }}</td>
<td class="n">{% if d.low == d.low %}{{ "%+.2f to %+.2f"|format(d.low, d.high) }}{% else %}too few sessions{% endif %}</td><td class="n">{{ d.sessions }}</td></tr>
{% endif %}{% endfor %}{% endfor %}</table>
<p class="note">Paired by window; intervals resample whole sessions.</p>{% endif %}

<h2>By lead time and by class</h2>
<table><tr><th>sessions</th><th>fit</th>{% set leads = runs[0].evaluation.groups[groups[0]].top1_by_lead %}{% for lead in leads %}<th>{{ lead }}</th>{% endfor %}</tr>
{% for group in groups %}{% for run in runs %}
<tr><td>{{ group if loop.first else "" }}</td><td>{{ run.name }}</td>{% for lead in leads %}<td class="n">{% set v = run.evaluation.groups[group].top1_by_lead.get(lead) %}{{ "–" if v is none else "%.3f"|format(v) }}</td>{% endfor %}</tr>
{% endfor %}{% endfor %}</table>
{% for run in runs %}{% for group in groups %}{% set classes = run.evaluation.groups[group].get("classes") %}{% if classes %}
<details><summary>Classes and confusions: {{ run.name }}, {{ group }}</summary><table><tr><th>action</th><th>windows</th><th>top-1</th><th>top-5</th><th>ranked first, by number of windows</th></tr>
{% for text, c in classes.items() %}<tr><td>{{ text }}</td><td class="n">{{ c.windows }}</td><td class="n">{{ "%.3f"|format(c.top1) }}</td><td class="n">{{ "%.3f"|format(c.top5) }}</td>
<td>{% for answer, count in c.ranked.items() %}{{ count }} {{ answer }}{{ ", " if not loop.last }}{% endfor %}</td></tr>{% endfor %}</table></details>
{% endif %}{% endfor %}{% endfor %}
{% set unknown = runs[0].evaluation.get("unknown_answers") %}{% if unknown and unknown.windows %}
<p class="note">{{ unknown.windows }} windows ({{ "%.0f %%"|format(100 * unknown.share) }}) have an answer that no fit knows, and count as wrong: {{ unknown.texts|join(", ") }}.</p>{% endif %}
{% set out = runs[0].evaluation.get("left_out") %}{% if out %}<p class="note">Held-out moments that made no window: {% for reason, count in out.items() %}{{ count }} {{ reason }}{{ ", " if not loop.last }}{% endfor %}.</p>{% endif %}

<h2>Attention against gaze on held-out windows</h2>
<table><tr><th>sessions</th><th>fit</th><th>top-k overlap</th><th>KL, nats</th><th>NSS</th><th>AUC</th><th>windows with gaze</th></tr>
{% for group in groups %}{% for run in runs %}{% set a = run.evaluation.groups[group].attention %}
<tr><td>{{ group if loop.first else "" }}</td><td>{{ run.name }}</td>
{% for key in ("top_k_overlap", "kl", "nss", "auc") %}<td class="n">{{ "–" if a[key] is none else "%.3f"|format(a[key]) }}</td>{% endfor %}
<td class="n">{{ "%.0f %%"|format(100 * run.evaluation.groups[group].gaze_share) }}</td></tr>
{% endfor %}{% endfor %}</table>
<p class="note">Gaze of held-out sessions serves only to score attention; the model never sees it.</p>
{% for text, image in strips %}
<figure><img alt="attention over the frames of one window" src="{{ image }}"><figcaption>{{ text }}</figcaption></figure>
{% endfor %}

<h2>Training</h2>
<figure><img alt="losses over the steps" src="{{ curves }}"></figure>

<h2>Calibration</h2>
<figure><img alt="accuracy against confidence" src="{{ reliability }}">
<figcaption>{{ groups[0] }}; size of a dot: share of windows. Temperatures were fitted on validation sessions.</figcaption></figure>

<h2>Data</h2>
<table><tr><th>session</th><th>person</th><th>scene</th><th>part</th><th>frames</th><th>windows</th><th>windows with gaze</th></tr>
{% for s in data.sessions %}
<tr><td>{{ s.name }}</td><td>{{ s.person }}</td><td>{{ s.scene }}</td><td>{{ s.part }}</td><td class="n">{{ s.frames }}</td>
<td class="n">{{ s.windows }}</td><td class="n">{{ "–" if s.gaze_share is none else "%.0f %%"|format(100 * s.gaze_share) }}</td></tr>
{% endfor %}
{% for s in runs[0].evaluation.sessions %}
<tr><td>{{ s.name }}</td><td>{{ s.person }}</td><td>{{ s.scene }}</td><td>held out</td><td class="n">{{ s.frames }}</td>
<td class="n">{{ s.windows }}</td><td class="n">{{ "–" if s.gaze_share is none else "%.0f %%"|format(100 * s.gaze_share) }}</td></tr>
{% endfor %}</table>
{% if data.dropped %}<p class="note">Moments that made no window: {% for reason, count in data.dropped.items() %}{{ count }} {{ reason }}{{ ", " if not loop.last }}{% endfor %}.</p>{% endif %}
<details><summary>Answers</summary><p>{{ labels|join(", ") }}</p></details>

<h2>Settings</h2>
<table><tr><th>differs</th>{% for run in runs %}<th>{{ run.name }}</th>{% endfor %}</tr>
{% for key, values in differing.items() %}<tr><td><code>{{ key }}</code></td>{% for value in values %}<td>{{ value }}</td>{% endfor %}</tr>
{% endfor %}</table>
<details><summary>All settings of {{ runs[0].name }}</summary><table>
{% for key, value in settings.items() %}<tr><td><code>{{ key }}</code></td><td>{{ value }}</td></tr>
{% endfor %}</table></details>
<p class="note">{% for name, version in runs[0].evaluation.get("libraries", {}).items() %}{{ name }} {{ version }}{{ ", " if not loop.last }}{% endfor %}</p>
</body></html>
"""
)

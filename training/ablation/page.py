# ruff: noqa: E501
"""Template of an ablation's HTML page."""

import jinja2

# Measures that only some evaluations have: name and title.
OPTIONAL = (("rouge_l", "ROUGE-L"), ("semantic", "semantic"))

PAGE = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Ablation</title><style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; } td, th { padding: .2rem .6rem; border-bottom: 1px solid #ddd; }
td.n { text-align: right; } th { text-align: left; } td { white-space: nowrap; } img { max-width: 100%; } .note { color: #555; }
</style></head><body><h1>Ablation</h1>
<p class="note">Sessions that no fit has seen. Answers are ranked over the closed set, "exact" is free generation; nothing is
teacher-forced, and no model sees gaze. "In training" is top-1 on windows that trained the model. "By person" are intervals by a
bootstrap over seeds and persons; p is of the difference, adjusted for the number of comparisons (Holm) except for the primary
one. Mean over seeds with the 95 % interval of Student's t; the difference is in top-1, to
{{ baseline }} with the same seed, and with the same value of the sweep if the sweep contains it.</p>
<div class="wide"><table><tr><th>sessions</th><th>sweep</th><th>arm</th><th>top-1</th><th>by person</th><th>difference</th><th>by person</th><th>p</th><th>in training</th><th>exact</th><th>class mean</th>
{% for name, title in optional %}<th>{{ title }}</th>{% endfor %}
<th>overlap</th><th>KL, nats</th><th>calibration error</th><th>seeds</th><th>fit, s</th><th>answer, ms</th></tr>
{% for line in table %}
<tr><td>{{ line.sessions }}</td><td>{{ line.sweep }} {{ line.value }}</td><td>{{ line.arm }}</td><td class="n">{{ line.top1 }}</td>
<td class="n">{{ line.by_person if line.by_person is not none else "" }}</td>
<td class="n">{{ line.difference if line.difference is not none else "" }}</td>
<td class="n">{{ line.difference_by_person if line.difference_by_person is not none else "" }}</td>
<td class="n">{{ "%.3f"|format(line.p) if line.p is not none and line.p == line.p else "" }}</td><td class="n">{{ line.training_top1 }}</td><td class="n">{{ line.exact }}</td>
<td class="n">{{ line.class_mean_recall }}</td>
{% for name, title in optional %}<td class="n">{{ line[name] }}</td>{% endfor %}
<td class="n">{{ line.overlap }}</td><td class="n">{{ line.attention_kl }}</td>
<td class="n">{{ line.calibration_error }}</td><td class="n">{{ line.seeds }}</td><td class="n">{{ "%.0f"|format(line.fit_s) }}</td>
<td class="n">{{ "%.1f"|format(line.answer_ms) if line.answer_ms == line.answer_ms else "" }}</td></tr>
{% endfor %}</table></div>
{% for name, picture in pictures.items() %}<p><img alt="{{ name }}" src="{{ picture }}"></p>{% endfor %}
{% if absent %}<h2>Not in the tables</h2><ul>{% for folder, why in absent.items() %}<li>{{ folder }}: {{ why }}</li>{% endfor %}
</ul>{% endif %}
<h2>Configuration</h2><pre>{{ settings }}</pre></body></html>
"""
)

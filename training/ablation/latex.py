"""Tables of an ablation in LaTeX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.ablation.statistics import Mean


def latex_table(table: Sequence[Mapping[str, Any]], baseline: str) -> str:
    """Return the main table, without sweeps, as a booktabs table."""
    kinds = list(dict.fromkeys(line["sessions"] for line in table))
    lines = [
        r"\begin{tabular}{l" + "rrr" * len(kinds) + "}", r"\toprule",
        " & " + " & ".join(rf"\multicolumn{{3}}{{c}}{{{_escaped(kind)}}}" for kind in kinds) + r" \\",
        "arm" + r" & top-1 & $\Delta$ & overlap" * len(kinds) + r" \\", r"\midrule",
    ]  # fmt: skip
    main = [line for line in table if not line["sweep"]]
    for arm in dict.fromkeys(line["arm"] for line in main):
        cells = [_escaped(arm)]
        for kind in kinds:
            of_kind = [line for line in main if (line["arm"], line["sessions"]) == (arm, kind)]
            for name in ("top1", "difference", "overlap"):
                cells.append(_tex(of_kind[0][name]) if of_kind and of_kind[0][name] is not None else "--")
        lines.append(" & ".join(cells) + r" \\")
    note = f"% 95 % intervals by Student's t over seeds; Delta is to {' '.join(baseline.split())}, seed by seed"
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", note, ""])


def latex_sweep(table: Sequence[Mapping[str, Any]], sweep: str) -> str:
    """Return the top-1 of each arm over the values of one sweep as a booktabs table; "" if it was not run."""
    lines = [line for line in table if line["sweep"] == sweep]
    if not lines:
        return ""
    values = list(dict.fromkeys(line["value"] for line in lines))
    rows = [
        r"\begin{tabular}{ll" + "r" * len(values) + "}", r"\toprule",
        f"sessions & {_escaped(sweep)} & " + " & ".join(map(_escaped, values)) + r" \\", r"\midrule",
    ]  # fmt: skip
    for sessions, arm in dict.fromkeys((line["sessions"], line["arm"]) for line in lines):
        own = {line["value"]: line["top1"] for line in lines if (line["sessions"], line["arm"]) == (sessions, arm)}
        cells = [_tex(own[value]) if value in own else "--" for value in values]
        rows.append(" & ".join([_escaped(sessions), _escaped(arm), *cells]) + r" \\")
    return "\n".join([*rows, r"\bottomrule", r"\end{tabular}", ""])


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "λ": r"$\lambda$", "σ": r"$\sigma$", "×": r"$\times$",
    "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


def _escaped(text: str) -> str:
    """Return `text` so that LaTeX prints it."""
    return "".join(_LATEX.get(c, c) for c in text)


def _tex(mean: Mean) -> str:
    return rf"${mean.value:.3f}$" + (rf"{{\scriptsize$\pm{mean.half_width:.3f}$}}" if mean.seeds > 1 else "")

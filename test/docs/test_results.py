"""The results page shows what was measured: its tables and sentences are those of docs/results_stream.json."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.ablation.plan import load_ablation
from training.ablation.stream_summary import all_markdown

ROOT = Path(__file__).resolve().parents[2]
FOUND: dict[str, Any] = json.loads((ROOT / "docs" / "results_stream.json").read_text())
BENCH_2: dict[str, Any] = json.loads((ROOT / "docs" / "results_stream_bench2.json").read_text())
TEXT = (ROOT / "docs" / "results.md").read_text()


def line(arm: str, sessions: str) -> dict[str, Any]:
    (found,) = [one for one in FOUND["lines"] if (one["arm"], one["sessions"], one["sweep"]) == (arm, sessions, "")]
    return found


def test_the_tables_are_those_of_the_figures() -> None:
    for found in (FOUND, BENCH_2):
        for table in all_markdown(found["lines"]).strip().split("\n\n"):
            assert table in TEXT


def test_the_figures_are_of_the_shipped_configuration() -> None:
    shipped = asdict(load_ablation(ROOT / "config" / "ablate_stream.yaml"))
    assert FOUND["configuration"] == json.loads(json.dumps(shipped))
    assert line("gaze", "workbench")["seeds"] == line("no gaze", "misleading")["seeds"] == 5
    assert "Mean over\nfive seeds" in TEXT
    assert BENCH_2["configuration"]["simulate"]["bench"] == 2
    assert {one["seeds"] for one in BENCH_2["lines"] if not one["is_reference"]} == {1}


def test_the_first_paragraph_quotes_the_figures() -> None:
    """Every number in it is one of these."""
    first = TEXT.split("\n\n")[1].replace("95 %", "")
    measured = set()
    for sessions in ("workbench", "misleading"):
        for arm in ("gaze", "no gaze", "clock", "ceiling", "hand and clock"):
            one = line(arm, sessions)
            measured |= {f"{one[name]['value']:.2f}" for name in ("negative_log_likelihood", "point_average_precision")}
            if one["difference"]:
                measured |= {f"{abs(one['difference'][name]):.2f}" for name in ("value", "low", "high")}
    quoted = re.findall(r"\d+\.\d\d", first)
    assert len(quoted) >= 10
    assert set(quoted) <= measured

"""The bench page shows what was measured: its tables are made from the file of figures, which says what it should."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from gaze_vlm_ros.sim.bench_scene import OBJECTS
from training.reference.measuring import LEADS_S, markdown
from training.reference.observer import CEILINGS
from training.reference.rules import RULES

ROOT = Path(__file__).resolve().parents[2]
FIGURES: list[dict[str, Any]] = json.loads((ROOT / "docs" / "bench_figures.json").read_text())
MONTE_CARLO = 0.01  # nats a moment: what particles leave uncertain over all sessions
LEAST_MARGIN = 0.05  # nats a moment: the ceiling of bench 2 above every rule that sees no more than it does


def accuracy(bench: int, name: str, lead_s: float) -> dict[str, Any]:
    answer: dict[str, Any] = FIGURES[bench - 1]["answers"][name]["leads"][f"{lead_s:g}"]
    return answer


@pytest.mark.parametrize("bench", [1, 2])
def test_the_table_is_that_of_the_figures(bench: int) -> None:
    figures = FIGURES[bench - 1]
    assert figures["bench"] == bench
    assert list(figures["answers"]) == [*RULES, *CEILINGS]
    assert figures["held_out_sessions"] >= 20
    assert markdown(figures) in (ROOT / "docs" / "bench.md").read_text()


def nats(bench: int, name: str) -> float:
    return float(FIGURES[bench - 1]["answers"][name]["stream"]["negative_log_likelihood"])


def test_the_ceiling_is_above_every_rule() -> None:
    """Each observer bounds what is possible from below: the ceiling is the best of those that see as much."""
    for bench in (1, 2):
        for name in RULES:
            sees_gaze = FIGURES[bench - 1]["answers"][name]["sees_gaze"]
            best = min(nats(bench, own) for own, sees in CEILINGS.items() if sees_gaze or not sees.gaze)
            assert nats(bench, name) - best > (0 if bench == 1 else LEAST_MARGIN), (bench, name)


def test_who_sees_more_is_no_worse_on_bench_1() -> None:
    for less, more in itertools.pairwise(CEILINGS):
        assert nats(1, more) < nats(1, less) + MONTE_CARLO, (less, more)


def test_no_clock_sign_or_order_tells_more_than_stated() -> None:
    """The clock also knows which object was moved last. Three standard errors."""
    for name, stated in (("sign", 0.5), ("clock", 1 / len(OBJECTS)), ("label prior", 1 / len(OBJECTS))):
        for lead_s in LEADS_S:
            found = accuracy(2, name, lead_s)
            error = (stated * (1 - stated) / found["actions"]) ** 0.5
            assert found["accuracy"] < stated + 3 * error, (name, lead_s)


def test_bench_1_is_given_away_where_bench_2_is_not() -> None:
    assert accuracy(1, "hand and clock", 0.75)["accuracy"] > 0.95
    assert accuracy(2, "hand and clock", 0.75)["accuracy"] < 0.5

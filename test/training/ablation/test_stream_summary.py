"""Scores of the stream in an ablation: means over seeds, differences by person, and the way to the ceiling."""

import json
from pathlib import Path
from typing import Any

import pytest

from training.ablation.plan import NATS, Ablation, BadAblation, Primary, Run, load_ablation
from training.ablation.references import reference_results
from training.ablation.stream_summary import CEILING, CLOCK, all_markdown, json_lines, stream_rows, stream_summary
from training.reference.rules import RULES


def scores(nats: float, seed: int = 0, persons: int = 6) -> dict[str, Any]:
    """Scores as score_stream gives them: every person has 100 moments, whose mean loss is about `nats`."""
    of = {f"p{seed}{number}": (100, 100 * (nats + 0.01 * (number - 2.5))) for number in range(persons)}
    point = {"recall": 0.4, "anticipated_0_5_s": 0.3, "false_starts_per_minute": 1.0, "flips_per_action": 2.0}
    return {
        "moments": 100 * persons, NATS: nats, "average_precision": 0.5, "point_average_precision": 2.0 - nats,
        "at_precision_0.9": point, "time_to_start_error_s": None, "calibration_error": 0.05, "losses_by_person": of,
    }  # fmt: skip


def results(arms: dict[str, list[float]]) -> list[tuple[Run, dict[str, Any]]]:
    """arms: mean loss of each seed."""
    return [
        (
            Run(arm, "", None, seed, {}),
            {
                "stream": {"workbench": scores(nats, seed), "all": scores(9.0)},
                "stream_single": {"workbench": scores(nats + 0.1, seed)},
            },
        )
        for arm, losses in arms.items()
        for seed, nats in enumerate(losses)
    ]


REFERENCES = {
    seed: {"workbench": {CLOCK: scores(1.9, seed), CEILING: scores(1.4, seed)}, "all": {CLOCK: scores(9.0)}}
    for seed in (0, 1)
}


def test_arms_stand_between_the_clock_and_the_ceiling_of_their_own_sessions() -> None:
    lines = stream_summary(
        stream_rows(results({"gaze": [1.5, 1.6], "none": [1.8, 1.7]}), REFERENCES),
        "none",
        Primary("gaze", "workbench", NATS),
    )
    assert [(line["arm"], line["is_reference"]) for line in lines] == [
        (CLOCK, True), (CEILING, True), ("gaze", False), ("none", False),
    ]  # fmt: skip
    clock, ceiling, gaze, none = lines
    assert {line["sessions"] for line in lines} == {"workbench"}
    assert gaze[NATS].value == pytest.approx(1.55)
    assert gaze["single_nats"].value == pytest.approx(1.65)
    assert gaze["way"][NATS].value == pytest.approx(0.7)  # (0.8 + 0.6) / 2
    assert gaze["way"]["point_average_precision"].value == pytest.approx(0.7)
    assert (clock["way"][NATS].value, ceiling["way"][NATS].value) == pytest.approx((0.0, 1.0))
    assert gaze["difference"].value == pytest.approx(-0.2)  # -0.3 and -0.1
    assert -0.301 < gaze["difference"].low < -0.2 < gaze["difference"].high < -0.099
    assert gaze["p"] == gaze["difference"].p
    assert none["difference"] is None
    assert clock["p"] is None  # no hypothesis is tested about a reference


def test_p_values_of_all_but_the_primary_comparison_are_adjusted_for_their_number() -> None:
    rows = stream_rows(results({"gaze": [1.5, 1.6], "other": [1.7, 1.8], "third": [1.7, 1.8], "none": [1.8, 1.9]}), {})
    primary = {line["arm"]: line for line in stream_summary(rows, "none", Primary("gaze", "workbench", NATS))}
    every = {line["arm"]: line for line in stream_summary(rows, "none")}
    assert primary["gaze"]["p"] == primary["gaze"]["difference"].p
    assert primary["other"]["p"] == pytest.approx(2 * primary["other"]["difference"].p)
    assert every["gaze"]["p"] == pytest.approx(3 * every["gaze"]["difference"].p)
    assert every["gaze"]["way"][NATS] is None


def test_tables_are_made_of_the_json_alone() -> None:
    lines = json.loads(
        json.dumps(
            json_lines(
                stream_summary(stream_rows(results({"gaze": [1.5, 1.6], "none": [1.8, 1.7]}), REFERENCES), "none")
            )
        )
    )
    head, _, clock, ceiling, gaze, none = all_markdown(lines).strip().splitlines()
    assert head.startswith("| workbench | nats a moment | AP | AP of starts |")
    assert clock.startswith("| *clock* | 1.90 ± 0.00 |")
    assert ceiling.startswith("| *ceiling* | 1.40 ± 0.00 |")
    assert gaze.startswith("| gaze | 1.55 ± 0.64 | 0.50 ± 0.00 |")
    assert " 0.70 ± " in gaze
    assert " -0.200 (" in gaze
    assert none.endswith("|  |  |")
    assert {line.count("|") for line in (head, clock, ceiling, gaze, none)} == {13}


def test_rules_and_ceiling_are_scored_on_the_sessions_of_each_seed_and_kept(tmp_path: Path) -> None:
    simulate = {
        "bench": 2, "for_each_seed": True, "training_sessions": 2, "held_out_sessions": 1, "misleading_sessions": 1,
        "session_s": 25.0, "tasks": ["tidy"],
    }  # fmt: skip
    ablation = Ablation("", {"a": {}}, [0, 1], "a", simulate=simulate, reference_particles=20)
    found = reference_results(ablation, tmp_path, 1)
    assert set(found) == {0, 1}
    assert set(found[0]) == {"workbench", "misleading", "all"}
    assert set(found[0]["workbench"]) == {*RULES, CEILING}
    assert found[0]["workbench"][CLOCK][NATS] != found[1]["workbench"][CLOCK][NATS]
    assert list(found[0]["workbench"][CLOCK]["losses_by_person"]) == ["person_002"]
    for path in (tmp_path / "reference").iterdir():
        path.write_text(json.dumps({"kept": True}))
    assert reference_results(ablation, tmp_path, 1)[1] == {"kept": True}
    assert reference_results(Ablation("", {"a": {}}, [0], "a", simulate=simulate), tmp_path, 1) == {}


def test_a_primary_measure_that_there_is_not_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ablation.yaml"
    path.write_text(
        "fit: config/fit_demo.yaml\nbaseline: a\narms: {a: {}}\nseeds: [0]\n"
        "primary: {arm: a, sessions: workbench, measure: likelihood}\n"
    )
    with pytest.raises(BadAblation, match="primary measures 'likelihood', expected top1 or negative_log_likelihood"):
        load_ablation(path)

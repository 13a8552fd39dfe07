"""Baselines: percentiles against normal windows, and files that are none."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from gaze_vlm_ros.assessment.baseline import (
    BadBaseline,
    made_baseline,
    raw_score,
    read_baseline,
    require_model,
    standing,
    write_baseline,
)
from gaze_vlm_ros.assessment.moments import MEASURES


def rows(count: int) -> list[dict[str, float]]:
    rng = np.random.default_rng(0)
    return [dict.fromkeys(MEASURES, float(value)) for value in rng.permutation(count) / count]


def made(count: int = 1000):
    return made_baseline("run@12345678", "f" * 64, "tidy", ["p1", "p0", "p1"], ["s0", "s1"], rows(count), {"p0": 3.5})


def test_a_window_stands_where_it_is_among_normal_ones() -> None:
    baseline = made()
    middle = standing(dict.fromkeys(MEASURES, 0.5), baseline)
    assert middle.percentiles["surprise"] == pytest.approx(0.5, abs=0.01)
    high = standing(dict.fromkeys(MEASURES, 0.5) | {"surprise": 9.0, "off_task": 9.0, "saliency": -9.0}, baseline)
    assert high.percentiles["surprise"] == 1
    assert high.percentiles["saliency"] == 0
    assert high.odd > 0.99
    low = standing(dict.fromkeys(MEASURES, 0.5) | {"surprise": -9.0, "off_task": -9.0, "saliency": 9.0}, baseline)
    assert low.odd < middle.odd  # less surprise than normal is not odd


def test_scores_are_the_mean_of_the_logarithms_of_the_tails() -> None:
    measures = {name: np.linspace(0, 1, 1001) for name in MEASURES}
    row = dict.fromkeys(MEASURES, math.nan) | {"surprise": 0.9, "fixation_s": 0.05}
    assert raw_score(row, measures, "odd") == pytest.approx((-math.log(0.1) - math.log(0.1)) / 2, rel=0.01)
    assert math.isnan(raw_score(dict.fromkeys(MEASURES, math.nan), measures, "odd"))


def test_an_unknown_window_stands_nowhere() -> None:
    found = standing(dict.fromkeys(MEASURES, math.nan), made())
    assert math.isnan(found.odd)
    assert math.isnan(found.needs_help)


def test_too_few_windows_make_no_baseline() -> None:
    with pytest.raises(BadBaseline, match=r"59 windows of the normal sessions.*at least 60"):
        made(59)


def test_a_baseline_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_baseline(tmp_path / "b.json", made())
    again = read_baseline(tmp_path / "b.json")
    assert again.persons == ("p0", "p1")
    assert again.pupil_mm == {"p0": 3.5}
    assert again.windows == 1000
    np.testing.assert_allclose(again.measures["surprise"], made().measures["surprise"], atol=1e-9)
    with pytest.raises(BadBaseline, match="exists already"):
        write_baseline(tmp_path / "b.json", made())
    with pytest.raises(BadBaseline, match=r"is of model run@12345678, and this is other@1"):
        require_model(again, tmp_path / "b.json", "0" * 64, "other@1")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda v: "[1", "no baseline in"),
        (lambda v: "[]", "is no baseline"),
        (lambda v: json.dumps(v | {"format": 9}), "format is 9, expected 1"),
        (lambda v: json.dumps(v | {"window_s": 3}), "window_s is 3, expected 10"),
        (lambda v: json.dumps(v | {"measures": {}}), "is damaged"),
        (lambda v: json.dumps(v | {"scores": {"odd": [2, 1], "needs_help": []}}), "quantiles must ascend"),
    ],
)
def test_a_file_that_is_no_baseline_is_refused_in_one_line(change, said: str, tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    write_baseline(path, made())
    path.write_text(change(json.loads(path.read_text())))
    with pytest.raises(BadBaseline, match=said) as error:
        read_baseline(path)
    assert "\n" not in str(error.value)
    assert "--write-baseline" in str(error.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadBaseline, match="No such file"):
        read_baseline(tmp_path / "none.json")

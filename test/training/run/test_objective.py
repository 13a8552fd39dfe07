"""Objectives against shortcuts: which windows weigh more, and what cannot be weighed."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from gaze_vlm_ros.prediction.checkpoint import read_checkpoint_metadata
from training import fit
from training.data.groups import BadGroups, window_groups
from training.run.objective import WindowWeights, error_weights, group_weights
from training.run.preflight import Preflight, weight_for_ratio
from training.run.run_folder import kept_weight
from training.settings import BadSettings, Settings

SESSIONS = [SimpleNamespace(name=name, scene=scene, person="ada", task="") for name, scene in (("a", "x"), ("b", "y"))]
WINDOWS = [SimpleNamespace(session=i // 4, at_ns=100 * (i % 4), answer=f"take {i % 2}") for i in range(8)]
DATA = SimpleNamespace(windows=WINDOWS, sessions=SESSIONS)
ROWS = np.arange(8)


def test_groups_are_properties_of_sessions_answers_or_times_in_a_file(tmp_path: Path) -> None:
    assert window_groups("scene", WINDOWS, SESSIONS)[1].tolist() == [0] * 4 + [1] * 4
    assert window_groups("answer", WINDOWS, SESSIONS)[0] == ("take 0", "take 1")
    file = tmp_path / "sign.csv"
    file.write_text("session,from_ns,group\na,0,true\na,200,false\nb,0,false\n")
    names, group = window_groups(str(file), WINDOWS, SESSIONS)
    assert [names[g] for g in group] == ["true", "true", "false", "false", *["false"] * 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("session,group\na,x\n", "lacks the columns from_ns"),
        ("session,from_ns,group\na,0,x\n", "has no group for session 'b' at 0 ns"),
        ("session,from_ns,group\na,soon,x\n", "line 2: from_ns is 'soon'"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "groups.csv"
    file.write_text(text)
    with pytest.raises(BadGroups, match=f"groups.csv.*{message}"):
        window_groups(str(file), WINDOWS, SESSIONS)
    with pytest.raises(BadGroups, match="setting groups is 'kitchen', expected session, person"):
        window_groups("kitchen", WINDOWS, SESSIONS)


def test_a_group_that_is_answered_badly_gains_weight_by_the_exponential_of_its_loss() -> None:
    weights = group_weights(DATA, ROWS[:6], Settings(objective="group_dro", group_rate=0.5))
    # Groups have 4 and 2 of the 6 windows and equal weight, so each window of the smaller counts twice as much.
    np.testing.assert_allclose(weights.of(np.array([0, 4])), [0.75, 1.5])
    assert weights.of(ROWS[:6]).mean() == pytest.approx(1)
    accelerator = Accelerator(cpu=True)
    weights.note(np.array([0, 1, 4]), np.array([0.2, 0.4, 1.3]), accelerator)
    q = np.exp(0.5 * np.array([0.3, 1.3]))
    np.testing.assert_allclose(weights.q, q / q.sum())
    again = group_weights(DATA, ROWS[:6], Settings(objective="group_dro", group_rate=0.5))
    again.restore(json.loads(json.dumps(weights.state())))
    torch.testing.assert_close(again.of(ROWS[:6]), weights.of(ROWS[:6]))
    assert weights.figures().keys() == {"group x", "group y"}
    with pytest.raises(BadGroups, match="groups: person puts all windows to train on into one group, 'ada'"):
        group_weights(DATA, ROWS, Settings(objective="group_dro", groups="person"))


def test_windows_that_the_first_fit_gets_wrong_weigh_more_and_the_mean_stays_1() -> None:
    weights = error_weights(DATA, ROWS[:6], [1, 3], Settings(objective="jtt", jtt_weight=4.0))
    factors = weights.of(ROWS[:6])
    torch.testing.assert_close(factors[1] / factors[0], torch.tensor(4.0))
    assert factors.mean() == pytest.approx(1)
    assert weights.state() == {}
    assert isinstance(weights, WindowWeights)


def test_a_fit_by_jtt_fits_twice_from_the_same_weights(
    small_bags: Path, small_settings: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "jtt"
    quick = ["steps=10", "objective=jtt", "jtt_share=0.5", "jtt_weight=1", "gaze=none", "check_every=5"]
    bags = [str(small_bags / f"s{seed}") for seed in range(3)]
    arguments = [*small_settings, *(argument for value in quick for argument in ("--set", value))]
    assert fit.main([*arguments, "--out", str(out), *bags]) == 0
    first = json.loads((out / "first" / "wrong.json").read_text())
    logs = [
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (out / "first", out)
    ]
    assert [len(log) for log in logs] == [5, 10]
    assert 0 < len(first["wrong"]) <= first["of"]
    # Both begin with the same batch, and so at the same weights: here no window weighs more.
    assert logs[0][0]["lm"] == pytest.approx(logs[1][0]["lm"], rel=1e-5)
    assert read_checkpoint_metadata(out).objective == "JTT, first fit of 50% of the steps, weight 1"


def test_the_weight_of_the_regularizer_can_be_set_by_the_ratio_of_gradients(
    small_bags: Path, small_settings: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "ratio"
    quick = ["steps=2", "check_every=2", "kl_ratio=0.5", "kl_schedule=constant"]
    arguments = [*small_settings, *(argument for value in quick for argument in ("--set", value))]
    bags = [str(small_bags / f"s{seed}") for seed in range(3)]
    assert fit.main([*arguments, "--out", str(out), *bags]) == 0
    weight = json.loads((out / "kl_weight.json").read_text())["kl_weight"]
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["kl_weight"] for row in rows] == pytest.approx([weight] * 2, abs=1e-5)
    # With that weight the preflight would measure the ratio that was asked for.
    measured = Preflight(1.0, 1.0, 0.5 / weight, (), 1, 2, 1.0)
    assert weight_for_ratio(measured, Settings(kl_ratio=0.5)) == pytest.approx(weight)
    assert kept_weight(out, 123.0) == weight  # a resumed fit goes on with it
    assert f"KL weight {weight:g}" in read_checkpoint_metadata(out).gaze_use


def test_a_ratio_without_a_regularizer_is_refused() -> None:
    for changed in ({"gaze": "none"}, {"kl_weight": 0.0}, {"gaze_as": "drawn"}):
        with pytest.raises(BadSettings, match=r"setting kl_ratio is 0\.5, and there is no regularizer"):
            Settings(kl_ratio=0.5, **changed)

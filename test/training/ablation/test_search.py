"""The search for each arm's best settings: validation chooses, test scores stand beside."""

from pathlib import Path

import pytest

from training.ablation.plan import BadAblation, Run, load_ablation, run_settings, runs_of
from training.ablation.search import accuracy_by_step, search_of


def run(arm: str, value: float | None, seed: int, validation: list[float], top1: float):
    metrics = [{"step": step, "lm": 1 / (step + 1)} for step in range(len(validation))]
    for row, loss in zip(metrics, validation, strict=True):
        row |= {"validation_lm": loss, "validation_exact": 1 - loss}
    scores = {"groups": {"workbench": {"top1": {"value": top1}}, "all": {"top1": {"value": 0}}}}
    return Run(arm, "rate" if value else "", value, seed, {"learning_rate": value}), scores, metrics


def test_the_settings_with_the_least_mean_validation_loss_are_chosen_whatever_the_test_says() -> None:
    found = search_of(
        [
            run("none", None, 0, [0.9, 0.5, 0.6], 0.99),
            run("none", None, 1, [0.9, 0.7, 0.8], 0.99),
            run("none", 0.1, 0, [0.4, 0.3, 0.5], 0.10),
            run("none", 0.1, 1, [0.9, 0.6, 0.7], 0.10),
            run("gaze", None, 0, [0.2, 0.1], 0.5),
        ]
    )
    assert {arm: of["chosen"] for arm, of in found.items()} == {"none": "rate=0.1", "gaze": "recipe"}
    first = found["none"]["values"]["rate=0.1"]["runs"][0]
    assert (first["validation_lm"], first["step"], first["top1"]) == (0.3, 2, {"workbench": 0.10})
    assert first["curve"] == [[1, 0.4, 0.6], [2, 0.3, 0.7], [3, 0.5, 0.5]]
    assert first["training_lm"] == pytest.approx(1 / 3)
    assert len(accuracy_by_step(found).axes) == 2


def test_arms_start_from_the_base_model_only_if_the_configuration_names_one(tmp_path: Path) -> None:
    text = "fit: config/fit_demo.yaml\nbaseline: a\nseeds: [0]\narms: {a: {model: base, gaze: none}}\n"
    (tmp_path / "a.yaml").write_text(text)
    ablation = load_ablation(tmp_path / "a.yaml")
    (only,) = runs_of(ablation)
    settings = run_settings(ablation, only, "cpu", tmp_path / "base")
    assert (settings.model, settings.model_options) == (str(tmp_path / "base"), {})
    with pytest.raises(BadAblation, match="arm 'a', seed 0 starts from model: base, and"):
        run_settings(ablation, only, "cpu")
    (tmp_path / "b.yaml").write_text(text + "search: [rate]\n")
    with pytest.raises(BadAblation, match="search names sweep 'rate'"):
        load_ablation(tmp_path / "b.yaml")


def test_the_shipped_search_of_the_control_is_the_same_for_each_arm() -> None:
    root = Path(__file__).resolve().parents[3]
    ablation = load_ablation(root / "config/ablate_control.yaml")
    assert all(set(sweep.arms) == set(ablation.arms) for sweep in ablation.sweeps.values())
    steps = [run_settings(ablation, run, "cpu", Path("base")).steps for run in runs_of(ablation)]
    assert max(steps) == 20 * min(steps)


def test_the_shipped_controls_can_be_trained() -> None:
    ablation = load_ablation(Path(__file__).resolve().parents[3] / "config/ablate_gaze_controls.yaml")
    settings = [run_settings(ablation, run, "cpu", Path("base")) for run in runs_of(ablation) if run.seed == 0]
    assert {one.model for one in settings} == {"base"}
    assert len({str(one) for one in settings}) == len(ablation.arms)

from pathlib import Path

import pytest

from gaze_vlm_ros.storage.package_files import shared_file
from training.settings import BadSettings, Settings, load_settings, save_settings


def test_recipes_load_and_saved_settings_read_back_equal(tmp_path: Path) -> None:
    recipes = sorted(shared_file("config").glob("fit_*.yaml"))
    assert len(recipes) >= 2
    for recipe in recipes:
        settings = load_settings(recipe)
        save_settings(settings, tmp_path / "settings.yaml")
        assert load_settings(tmp_path / "settings.yaml") == settings


def test_overrides_win_and_take_their_fields_type(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("steps: 5\nseed: 3\n")
    settings = load_settings(
        tmp_path / "a.yaml",
        ["steps=9", "learning_rate=3e-4", "leads_s=[1, 0.5]", "test=[misleading*]", "validation=0.5", "gaze=none"],
    )
    assert (settings.steps, settings.seed, settings.learning_rate) == (9, 3, 3e-4)
    assert settings.leads_s == (1.0, 0.5)
    assert settings.test == ("misleading*",)
    assert settings.validation == 0.5
    assert settings.gaze == "none"


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("stepz=9", "unknown setting stepz; known are accumulate"),
        ("steps=many", "setting steps is 'many', expected a whole number"),
        ("steps=0", "setting steps is 0, expected a number above 0"),
        ("steps", "expected key=value"),
        ("leads_s=[3]", r"expected above 0 to 2\.0"),
        ("gaze=fake", "setting gaze is 'fake', expected one of real, none, shuffled"),
        ("task=current", "set it, e.g. to 0.5"),
        ("validation=1.5", "expected a share from 0"),
        ("validation=some", "expected a number or a list of texts"),
        ("warmup=100", "setting warmup is 100.0, expected a share from 0 to 1"),
        ("kl_warmup=2", "setting kl_warmup is 2.0, expected a share from 0 to 1"),
        ("gaze_min_confidence=60", "setting gaze_min_confidence is 60.0, expected a share from 0 to 1"),
        ("kl_weight=.nan", "setting kl_weight is nan, expected a finite number"),
        ("learning_rate=.inf", "setting learning_rate is inf, expected a finite number"),
        ("leads_s=[.nan]", r"setting leads_s\[0\] is nan, expected a finite number"),
        ("seed=-1", "setting seed is -1, expected 0 or more"),
        (
            "model_options={hidden:32}",
            "of tiny:smolvlm: no size of a tiny model is called hidden:32; there are",
        ),
        ("model_options={hidden: many}", "hidden of a tiny model is 'many', expected a whole number from 1 on"),
        ("model_options={text_layers: 0}", "text_layers of a tiny model is 0, expected a whole number from 1 on"),
        ("model_options={heads: 3, hidden: 24}", "heads of a tiny model is 3, expected a multiple of 2"),
    ],
)
def test_bad_overrides_are_one_line(override: str, line: str) -> None:
    with pytest.raises(BadSettings, match=line) as caught:
        load_settings(None, [override])
    assert "\n" not in str(caught.value)


def test_numbers_that_are_none_are_refused_by_whoever_makes_settings() -> None:
    for name in ("kl_weight", "learning_rate", "warmup", "stride_s", "gaze_error"):
        with pytest.raises(BadSettings, match=f"setting {name} is nan, expected"):
            Settings(**{name: float("nan")})


def test_bad_files_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "broken.yaml").write_text("a: [\n")
    for name, line in (("none.yaml", "no settings from"), ("list.yaml", "holds list"), ("broken.yaml", "is not YAML")):
        with pytest.raises(BadSettings, match=line) as caught:
            load_settings(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_kl_schedule() -> None:
    falling = Settings(kl_weight=2.0, steps=100, kl_until=0.5)
    assert [falling.kl_weight_at(step) for step in (0, 25, 50, 99)] == [2.0, 1.0, 0.0, 0.0]
    assert Settings(kl_schedule="constant", kl_weight=0.3).kl_weight_at(599) == 0.3
    assert Settings(gaze="none").kl_weight_at(0) == 0.0
    assert Settings(gaze="shuffled").kl_weight_at(0) == 1.0


def test_kl_warmup_rises_to_the_schedule() -> None:
    constant = Settings(kl_weight=2.0, kl_schedule="constant", steps=100, kl_warmup=0.1)
    assert [constant.kl_weight_at(step) for step in (0, 4, 9, 10, 99)] == pytest.approx([0.2, 1.0, 2.0, 2.0, 2.0])
    falling = Settings(kl_weight=2.0, steps=100, kl_warmup=0.1, kl_until=0.5)
    assert falling.kl_weight_at(0) == pytest.approx(0.2)
    assert falling.kl_weight_at(25) == 1.0
    assert max(falling.kl_weight_at(step) for step in range(100)) == falling.kl_weight_at(9)

"""Settings of windows, read from the YAML file of a fit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from gaze_vlm_ros.windows.settings import OTHER_FIT_SETTINGS, BadSettings, WindowSettings, load_window_settings
from training.settings import Settings, load_settings

CHECKOUT = Path(__file__).resolve().parents[2]


def test_every_setting_of_a_fit_is_known_once() -> None:
    windows = {field.name for field in dataclasses.fields(WindowSettings)}
    assert windows | OTHER_FIT_SETTINGS == {field.name for field in dataclasses.fields(Settings)}
    assert not windows & OTHER_FIT_SETTINGS


@pytest.mark.parametrize("config", sorted((CHECKOUT / "config").glob("fit_*.yaml")), ids=lambda path: path.stem)
def test_a_recipe_has_the_same_windows_in_a_fit_and_in_a_check(config: Path) -> None:
    fit = load_settings(config)
    assert dataclasses.asdict(load_window_settings(config)).items() <= dataclasses.asdict(fit).items()


def test_no_file_gives_the_defaults_and_an_empty_one_too(tmp_path: Path) -> None:
    (tmp_path / "fit.yaml").write_text("")
    assert load_window_settings(None) == load_window_settings(tmp_path / "fit.yaml") == WindowSettings()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("observation: 30\n", "unknown setting observation; known are accumulate, balance, .*, windows$"),
        ("kl_wieght: 0.1\nframes: 4\n", "unknown setting kl_wieght;"),
        ("4: 5\n", "unknown setting 4;"),
        ("frames: many\n", "setting frames is 'many', expected "),
        ("frames: 0\n", "setting frames is 0, expected a number above 0"),
        ("stride_s: -1\n", "setting stride_s is -1.0, expected 0 or more"),
        ("task: past\n", "setting task is 'past', expected one of future, current"),
        ("leads_s: [3.0]\n", r"setting leads_s is \[3.0\], expected above 0 to 2.0"),
        ("task: current\n", "setting stride_s is 0 and nothing else says where to cut windows"),
        ("- a list\n", "holds list, expected lines of key: value"),
        ("a: [\n", "is not YAML: "),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "fit.yaml").write_text(text)
    with pytest.raises(BadSettings, match=line) as caught:
        load_window_settings(tmp_path / "fit.yaml")
    assert "\n" not in str(caught.value)
    if "unknown" in line or "YAML" in line:
        assert str(tmp_path / "fit.yaml") in str(caught.value)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"no settings from .*fit\.yaml: No such file.*config/fit_demo\.yaml"):
        load_window_settings(tmp_path / "fit.yaml")


def test_values_of_other_settings_are_left_to_the_fit(tmp_path: Path) -> None:
    (tmp_path / "fit.yaml").write_text("kl_weight: 0.1\nmodel: nowhere\nframes: 6\n")
    assert load_window_settings(tmp_path / "fit.yaml") == WindowSettings(frames=6)


def test_each_part_of_an_observation_is_as_long_as_the_others() -> None:
    assert WindowSettings(observation_s=3.0, frames=4).part_s == 0.75

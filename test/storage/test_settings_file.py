"""Settings files: types, overrides, nested settings, and one line for what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gaze_vlm_ros.errors import GazeVlmError
from gaze_vlm_ros.storage.settings_file import (
    BadSettingsFile,
    load_settings_file,
    save_settings_file,
    settings_from_values,
)


class BadRecipe(GazeVlmError):
    """An error class of the caller's own."""


@dataclass(frozen=True)
class Part:
    values: list[Any] | dict[Any, dict[str, Any]]
    name: str = ""


@dataclass(frozen=True)
class Recipe:
    steps: int
    rate: float = 0.5
    fast: bool = False
    text: str = ""
    sizes: tuple[float, ...] = ()
    seeds: list[int] = field(default_factory=list)
    share: float | tuple[str, ...] = 0.0
    options: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, Part] = field(default_factory=dict)


def load(path: Path, text: str, *overrides: str) -> Recipe:
    path.write_text(text, encoding="utf-8")
    return load_settings_file(Recipe, [path], overrides, error=BadRecipe, example="config/recipe.yaml")


def test_values_take_the_type_of_their_field(tmp_path: Path) -> None:
    text = "steps: 3\nrate: 1e-3\nsizes: [1, 2.5]\nseeds: [4, 5]\nshare: [a, b]\noptions: {x: [1]}\n"
    loaded = load(tmp_path / "r.yaml", text)
    assert loaded == Recipe(3, 1e-3, sizes=(1.0, 2.5), seeds=[4, 5], share=("a", "b"), options={"x": [1]})
    assert [type(size) for size in loaded.sizes] == [float, float]
    assert type(load(tmp_path / "r.yaml", "steps: 3\nrate: 1\n").rate) is float


def test_later_files_and_overrides_win(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("steps: 1\ntext: a\nrate: 1.0\n")
    (tmp_path / "b.yaml").write_text("text: b\nrate: 2.0\n")
    paths = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    assert load_settings_file(Recipe, paths, ["rate=3"], example="x") == Recipe(1, 3.0, text="b")
    assert load_settings_file(Recipe, [], ["steps = 2", "share=0.5"], example="x") == Recipe(2, share=0.5)
    (tmp_path / "b.yaml").write_text("")
    assert load_settings_file(Recipe, paths, example="x").text == "a"


def test_settings_within_settings(tmp_path: Path) -> None:
    text = "steps: 1\nparts: {one: {values: [1, x]}, two: {values: {0.5: {a: 1}}, name: n}}\n"
    loaded = load(tmp_path / "r.yaml", text)
    assert loaded.parts == {"one": Part([1, "x"]), "two": Part({0.5: {"a": 1}}, "n")}


def test_saved_settings_read_back_equal(tmp_path: Path) -> None:
    recipe = Recipe(3, 1e-7, True, "λ: a", (1.0,), [2], ("a*",), {"n": [1, 2]}, {"p": Part([1])})
    save_settings_file(recipe, tmp_path / "r.yaml")
    assert load_settings_file(Recipe, [tmp_path / "r.yaml"], example="x") == recipe


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("steps: 1.5", "setting steps is 1.5, expected a whole number"),
        ("steps: true", "setting steps is True, expected a whole number"),
        ("steps: 1\nrate: true", "setting rate is True, expected a number"),
        ("steps: 1\nrate: many", "setting rate is 'many', expected a number"),
        ("steps: 1\nfast: 1", "setting fast is 1, expected true or false"),
        ("steps: 1\ntext:", "setting text is None, expected text"),
        ("steps: 1\nsizes: 2", "setting sizes is 2, expected a list of numbers"),
        ("steps: 1\nsizes: [2, a]", "setting sizes[1] is 'a', expected a number"),
        ("steps: 1\nseeds: [1.5]", "setting seeds[0] is 1.5, expected a whole number"),
        ("steps: 1\nshare: some", "setting share is 'some', expected a number or a list of texts"),
        ("steps: 1\nshare: [1]", "setting share[0] is 1, expected text"),
        ("steps: 1\noptions: []", "setting options is [], expected a mapping of key: value"),
        ("steps: 1\noptions: {1: 2}", "setting key 1 of options is 1, expected text"),
        ("steps: 1\nparts: {p: 1}", "setting parts.p is 1, expected a mapping of key: value"),
        ("steps: 1\nparts: {p: {}}", "setting parts.p.values is missing, and has no default"),
        ("steps: 1\nparts: {p: {values: 1}}", "setting parts.p.values is 1, expected a list or a mapping"),
        ("steps: 1\nparts: {p: {valeus: 1}}", "unknown setting parts.p.valeus; known are name, values"),
        ("stepz: 1\n2: 3", "unknown setting 2, stepz; known are fast, options, parts, rate"),
        ("rate: 1", "setting steps is missing, and has no default"),
        ("", "setting steps is missing, and has no default"),
        ("- 1", "holds list, expected lines of key: value"),
        ("a: [", "is not YAML: "),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line_that_names_the_file(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(BadRecipe) as caught:
        load(tmp_path / "r.yaml", text)
    assert line in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "r.yaml"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("steps", "--set steps: expected key=value"),
        ("steps=[", "--set steps=[: the value is not YAML"),
        ("steps=x", "--set: setting steps is 'x', expected a whole number"),
        ("step=1", "--set: unknown setting step; known are"),
    ],
)
def test_a_wrong_override_is_reported_as_an_override(tmp_path: Path, override: str, line: str) -> None:
    with pytest.raises(BadRecipe) as caught:
        load(tmp_path / "r.yaml", "steps: 1\n", override)
    assert str(caught.value).startswith(line)


def test_a_missing_or_binary_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match=r"no settings from .*none\.yaml: No such file.*; config/recipe\.yaml is an ex"):
        load_settings_file(Recipe, [tmp_path / "none.yaml"], error=BadRecipe, example="config/recipe.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(BadSettingsFile, match=r"b\.yaml is not YAML") as caught:
        load_settings_file(Recipe, [tmp_path / "b.yaml"], example="x")
    assert "\n" not in str(caught.value)


def test_values_from_elsewhere_name_their_source() -> None:
    assert settings_from_values(Recipe, {"steps": 1, "sizes": (1,)}, "gaze_vlm.json") == Recipe(1, sizes=(1.0,))
    with pytest.raises(BadSettingsFile, match=r"^gaze_vlm\.json: setting steps is '1', expected a whole number"):
        settings_from_values(Recipe, {"steps": "1"}, "gaze_vlm.json")

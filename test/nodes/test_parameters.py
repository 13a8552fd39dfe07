"""One place of defaults: config/ and docs/ agree with what the code of each node declares."""

import dataclasses
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml

from gaze_vlm_ros.nodes import eye_tracker_parameters, gaze_monitor, recorder_parameters, simulator
from gaze_vlm_ros.nodes.overlay import OverlayNode
from gaze_vlm_ros.nodes.parameters import BadParameter, Declarations, declared_like, listed, read
from gaze_vlm_ros.nodes.predicates import PredicatesNode
from gaze_vlm_ros.nodes.predictor_parameters import PredictorParameters

ROOT = Path(__file__).resolve().parents[2]
DECLARE: dict[str, Callable[[Any], object]] = {
    "recorder": recorder_parameters.declare_parameters,
    "eye_tracker": eye_tracker_parameters.read_parameters,
    "predicates": PredicatesNode._declare_parameters,
    "predictor": PredictorParameters,
    "overlay": OverlayNode._declare_parameters,
    "gaze_monitor": gaze_monitor.declare_parameters,
    "simulator": simulator.read_parameters,
}
CONFIG = {"recorder": "record.yaml", "predictor": "infer.yaml"}  # else named after the node
NOTHING = ("", "none", "empty")  # words of the tables for an empty text or list


def documented(node: str) -> Iterator[tuple[str, str, str | None]]:
    """Name, default and range of each parameter in the tables of the node's page; None = a table without ranges."""
    header: list[str] = []
    for line in (ROOT / f"docs/{node}.md").read_text().splitlines():
        if not line.startswith("|"):
            header = []
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not header:
            header = cells
        elif header[:2] in (["name", "default"], ["parameter", "topic"]) and not set(line) <= set("|-"):
            names = re.findall(r"`(\w+)`", cells[0])
            defaults = [cells[1]] if len(names) == 1 else [text.strip() for text in cells[1].split(",")]
            if len(defaults) == 1:
                defaults *= len(names)
            assert len(names) == len(defaults), f"docs/{node}.md: {len(defaults)} defaults for {', '.join(names)}"
            for name, default in zip(names, defaults, strict=True):
                yield name, default.strip("`"), cells[2] if header[2] == "range" else None


def is_the_same(text: str, default: Any) -> bool:
    """Whether a cell of a table shows this default; units may follow a number."""
    if isinstance(default, bool):
        return text == str(default).lower()
    if isinstance(default, (int, float)):
        number = re.match(r"-?[\d.]+(/\d+)?", text.replace(",", ""))
        return number is not None and float(Fraction(number[0])) == default
    if isinstance(default, list):
        return [part.strip() for part in text.split(",")] == default or (default == [""] and text in NOTHING)
    return text == default or (not default and text in NOTHING)


@pytest.mark.parametrize("node", DECLARE)
def test_the_yaml_has_every_parameter_with_its_default(node: str) -> None:
    (sections,) = yaml.safe_load((ROOT / "config" / CONFIG.get(node, f"{node}.yaml")).read_text()).values()
    declared = {name: parameter.default for name, parameter in listed(DECLARE[node]).items()}
    assert sections["ros__parameters"] == declared
    # 5 instead of 5.0 would be refused by ROS as an integer.
    assert {name: type(value) for name, value in sections["ros__parameters"].items()} == {
        name: type(value) for name, value in declared.items()
    }


@pytest.mark.parametrize("node", DECLARE)
def test_the_page_has_every_parameter_with_its_default_and_range(node: str) -> None:
    declared, rows = listed(DECLARE[node]), list(documented(node))
    assert {name for name, _, _ in rows} == set(declared)
    for name, default, limits in rows:
        parameter = declared[name]
        assert is_the_same(default, parameter.default), f"docs/{node}.md: {name} has {parameter.default!r}"
        if limits is not None and parameter.bounds is not None:
            ends = re.match(r"([\d.,]+) to ([\d.,]+)", limits)
            assert ends is not None, f"docs/{node}.md: no range for {name}"
            assert (float(ends[1].replace(",", "")), float(ends[2].replace(",", ""))) == parameter.bounds


@pytest.mark.parametrize("node", DECLARE)
def test_defaults_are_within_their_ranges(node: str) -> None:
    for parameter in listed(DECLARE[node]).values():
        if parameter.bounds is not None:
            assert parameter.bounds[0] <= parameter.default <= parameter.bounds[1], parameter.name


@dataclasses.dataclass(frozen=True)
class Values:
    name: str
    words: tuple[str, ...]
    rate_hz: float


def declare(node: Any) -> None:
    parameters = Declarations(node, fixed=True)
    parameters.text("name", "a", "a text")
    parameters.texts("words", "texts")
    parameters.number("rate_hz", 5.0, 0.1, 100.0, "Hz")
    parameters.count("threads", 0, 0, 8, "threads")


def test_declarations_are_listed_and_read_without_a_running_node() -> None:
    parameters = listed(declare)
    assert list(parameters) == ["name", "words", "rate_hz", "threads"]
    assert parameters["words"].default == [""]
    assert parameters["rate_hz"].bounds == (0.1, 100.0)
    assert parameters["threads"].bounds == (0, 8)
    assert parameters["name"].bounds is None
    assert all(parameter.fixed for parameter in parameters.values())
    found = []
    listed(lambda node: (declare(node), found.append(read(node, Values))))
    assert found == [Values("a", (), 5.0)]


def test_a_parameter_is_declared_once() -> None:
    with pytest.raises(BadParameter, match="name is declared twice"):
        listed(lambda node: (declare(node), declare(node)))


@dataclasses.dataclass
class Given:
    """Stands in for a node whose parameter has this value."""

    value: Any

    def declare_parameter(self, *_: Any) -> "Given":
        return self


def test_a_value_takes_the_type_of_its_default() -> None:
    assert declared_like(Given(5), "clock_period_s", 5.0) == 5.0
    assert declared_like(Given("gaze"), "streams", ["world"]) == ["gaze"]
    assert declared_like(Given(7), "person", "p0") == "7"
    for value, default in [("no", True), ("five", 5.0), (3, ["world"])]:
        with pytest.raises(BadParameter, match=re.escape(f"x is {value!r}, expected something like {default!r}")):
            declared_like(Given(value), "x", default)

"""The stable Python API: light to import, loaded on first use, and the same for Python and for type checkers."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import gaze_vlm_ros
from gaze_vlm_ros import api

HEAVY = ("numpy", "torch", "transformers", "cv2", "scipy", "rclpy", "yaml", "mcap", "rosbags")


def loaded_after(statement: str) -> set[str]:
    """Heavy modules that a fresh interpreter holds after `statement`."""
    program = f"import sys; {statement}; print(*(name for name in {HEAVY} if name in sys.modules))"
    return set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_after("import gaze_vlm_ros, gaze_vlm_ros.api") == set()


@pytest.mark.parametrize("name", ["open_bag", "open_session", "open_backend", "patch_distribution", "Observation"])
def test_a_name_loads_no_torch_and_no_ros(name: str) -> None:
    assert not {"torch", "transformers", "rclpy"} & loaded_after(f"from gaze_vlm_ros import {name}")


@pytest.mark.parametrize("name", api.__all__)
def test_each_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(gaze_vlm_ros, name)
    assert value is getattr(api, name)
    assert value.__doc__, f"{name} has no docstring"


def test_a_star_import_brings_exactly_the_public_names() -> None:
    names: dict[str, object] = {}
    exec("from gaze_vlm_ros import *", names)
    assert set(names) - {"__builtins__"} == set(api.__all__)
    assert set(dir(gaze_vlm_ros)) >= set(api.__all__)


def test_an_unknown_name_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="'gaze_vlm_ros' has no attribute 'open_bags'"):
        gaze_vlm_ros.open_bags  # type: ignore[attr-defined]  # noqa: B018


def test_type_checkers_see_the_names_that_are_loaded() -> None:
    tree = ast.parse(Path(api.__file__).read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    checked = {
        alias.name: node.module for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert set(checked) == set(api.__all__)
    for name, module in checked.items():
        assert getattr(api, name) is getattr(import_module(module), name)


def test_the_package_is_marked_as_typed() -> None:
    assert (Path(gaze_vlm_ros.__file__).parent / "py.typed").is_file()


def test_at_most_five_modules_lie_at_the_root() -> None:
    assert len(list(Path(gaze_vlm_ros.__file__).parent.glob("*.py"))) <= 5

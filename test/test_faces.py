"""Faces: the public names of each package, the same for Python and for type checkers."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from gaze_vlm_ros.faces import lazy_face

ROOT = Path(__file__).resolve().parents[1]
FACES = [
    ".".join(path.parent.relative_to(ROOT).parts)
    for package in ("gaze_vlm_ros", "training")
    for path in sorted((ROOT / package).glob("*/**/__init__.py"))
]


def type_checked_names(package: str) -> dict[str, str]:
    """Public names by the module that a face imports them from, at run time or for type checkers only."""
    tree = ast.parse((ROOT / package.replace(".", "/") / "__init__.py").read_text(encoding="utf-8"))
    return {
        alias.asname or alias.name: node.module or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package + ".")
        for alias in node.names
    }


@pytest.mark.parametrize("package", FACES)
def test_each_public_name_is_there_and_comes_from_the_place_that_type_checkers_see(package: str) -> None:
    face = import_module(package)
    seen = type_checked_names(package)
    for name in face.__all__:
        assert getattr(face, name) is getattr(import_module(seen[name]), name)
    assert set(face.__all__) <= set(dir(face))


@pytest.mark.parametrize("package", FACES)
def test_each_package_says_what_it_is(package: str) -> None:
    assert (import_module(package).__doc__ or "").strip().endswith((".", "`")), f"{package} has no docstring"


def test_a_name_is_loaded_on_first_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_room.py").write_text("thing = object()\nother = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    get, names = lazy_face("room", {"slow_room": ["thing"]})
    assert "slow_room" not in sys.modules
    assert get("thing") is import_module("slow_room").thing
    assert names() == ["thing"]
    with pytest.raises(AttributeError, match="'room' has no attribute 'other'"):
        get("other")


@pytest.mark.parametrize(
    "room", ["annotation", "annotation.formats", "annotation.review", "exporters", "importers", "labels", "storage",
             "terminal", "view"],
)  # fmt: skip
def test_a_light_face_loads_no_optional_library(room: str) -> None:
    code = f"import sys, gaze_vlm_ros.{room}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"rerun", "av", "aiohttp", "httpx2", "torch", "rclpy"} & set(done.stdout.split())

"""The project is written in plain engineering English: words and openings that a reader stumbles over stay out."""

import ast
import gc
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (
    "gaze_vlm_ros",
    "gaze_vlm_msgs",
    "training",
    "launch",
    "config",
    "docs",
    "examples",
    "benchmark",
    "tools",
    "test",
)
ENDINGS = (".py", ".md", ".yaml", ".msg", ".srv", ".html")
AWKWARD = re.compile(
    r"\b(anew|told|tells of|for ever)\b"  # again, reported, reports, forever
    r"|\b(is|are|stands|lies) (alone|behind)\b"  # only, after
    r'|(#|""") *(Of|By which|That of) '  # a comment names its subject
)


def texts() -> list[Path]:
    """Every file that people read."""
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in ENDINGS]
    found += [*ROOT.glob("*.md"), *ROOT.glob("*.py"), ROOT / "Makefile"]
    return [path for path in found if "generated" not in path.parts and path != Path(__file__)]


@pytest.mark.parametrize("line", ["# Of the last frame", "the camera is told", "sent anew"])
def test_an_awkward_line_is_seen(line: str) -> None:
    assert AWKWARD.search(line)


def test_no_line_is_awkward() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if AWKWARD.search(line)
    ]
    assert found == []


@pytest.fixture
def _no_collection() -> Iterator[None]:
    """A finalizer may parse too, and CPython 3.11's ast.parse then raises SystemError (gh-106905)."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_collection")
def test_every_public_function_and_class_has_a_docstring() -> None:
    """Methods included; functions within functions are not public."""
    missing = []
    for package in ("gaze_vlm_ros", "training"):
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
            for node in [*tree.body, *(part for cls in classes for part in cls.body)]:
                named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                if named and not node.name.startswith("_") and ast.get_docstring(node) is None:
                    missing.append(f"{path.relative_to(ROOT)}:{node.name}")
    assert missing == []

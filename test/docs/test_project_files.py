"""Files that GitHub and tools read: the workflow, templates, hooks and the citation."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import gaze_vlm_ros

ROOT = Path(__file__).resolve().parents[2]


def load(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def commands(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def test_the_workflow_does_what_ci_run_does_and_builds_the_site() -> None:
    jobs = load(".github/workflows/ci.yml")["jobs"]
    assert commands(jobs["test"]) == [".ci/run"]
    assert commands(jobs["docs"]) == ["make docs"]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100


def test_the_citation_names_this_version_and_the_paper() -> None:
    citation = load("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()  # demanded by the format
    assert citation["version"] == gaze_vlm_ros.__version__
    paper = citation["preferred-citation"]
    assert paper["title"] in " ".join((ROOT / "README.md").read_text().split())
    assert [author["family-names"] for author in paper["authors"]] == ["Pani", "Yang"]
    assert paper["url"].endswith("2510.21356")


@pytest.mark.parametrize("form", ["bug_report", "feature_request"])
def test_issue_forms_are_ones_that_github_takes(form: str) -> None:
    values = load(f".github/ISSUE_TEMPLATE/{form}.yml")
    assert {"name", "description", "body"} <= values.keys()
    ids = [field["id"] for field in values["body"]]
    assert len(ids) == len(set(ids))
    for field in values["body"]:
        assert field["type"] in ("input", "textarea", "dropdown", "markdown", "checkboxes")
        assert field["attributes"]["label"]


def test_hooks_call_what_is_there() -> None:
    for hook in load(".pre-commit-config.yaml")["repos"][0]["hooks"]:
        assert hook["entry"].startswith((".venv/bin/ruff ", ".venv/bin/python -m "))
        for word in hook["entry"].split():
            assert not word.startswith("test/") or (ROOT / word).is_file()

"""The report of several fits."""

import copy
import dataclasses
import json
from pathlib import Path

import pytest

from gaze_vlm_ros.storage.json_values import json_ready
from training.evaluation.checkpoint_evaluation import evaluate_checkpoint
from training.reports import comparison


@pytest.fixture
def run(small_checkpoint: Path, small_bags: Path, tmp_path: Path) -> comparison.Run:
    scores = tmp_path / "scores.json"
    bags = [small_bags / "s3"]
    scores.write_text(json.dumps(json_ready(evaluate_checkpoint(small_checkpoint, bags, device="cpu"))))
    return comparison.read_run("gaze", small_checkpoint, scores)


def test_a_report_has_paired_differences_classes_leads_and_versions(run: comparison.Run, tmp_path: Path) -> None:
    other = dataclasses.replace(run, name="no gaze", evaluation=copy.deepcopy(run.evaluation))
    windows = other.evaluation["windows"]
    right = [window for window in windows if window["ranked"] == window["answer"]]
    for window in right[:6]:
        window["ranked"] = "nothing of the kind"
    comparison.write_report(tmp_path / "report.html", [run, other])
    page = (tmp_path / "report.html").read_text()
    assert (
        f'<td class="n">+{6 / len(windows):.3f}</td>\n<td class="n">too few sessions</td><td class="n">1</td>' in page
    )
    assert "<th>0.4 s</th><th>1 s</th>" in page
    assert "<summary>Classes and confusions: no gaze, elsewhere</summary>" in page
    assert "transformers " in page

    # Sessions are the sample of the interval, and other windows cannot be paired.
    for number in range(len(windows)):
        for evaluation in (run.evaluation, other.evaluation):
            evaluation["windows"][number]["session"] = f"s{number % 6}"
    for evaluation in (run.evaluation, other.evaluation):
        evaluation["sessions"] = [{**evaluation["sessions"][0], "name": f"s{number}"} for number in range(6)]
    comparison.write_report(tmp_path / "six.html", [run, other])
    assert '<td class="n">6</td>' in (tmp_path / "six.html").read_text()
    assert "too few sessions" not in (tmp_path / "six.html").read_text()
    other.evaluation["windows"].pop()
    comparison.write_report(tmp_path / "other.html", [run, other])
    assert "too few sessions" not in (tmp_path / "other.html").read_text()
    assert f"+{6 / len(windows):.3f}" not in (tmp_path / "other.html").read_text()
